"""An OPC UA connection, and the keys of a tag on one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from agent.config.base import ConnectionConfig, FilePath
from agent.config.identity import TagIdentity, applies

_NODE = re.compile(r"nsu=(?P<uri>[^;]+);(?P<identifier>(?:s=.+|i=\d+|g=[0-9A-Fa-f-]{36}|b=[A-Za-z0-9+/=]+))")


def split_node(node: str) -> tuple[str, str]:
    """Return namespace URI and identifier of a checked `node`."""
    match = _NODE.fullmatch(node)
    assert match is not None, "the configuration was checked"
    return match["uri"], match["identifier"]


def is_node(text: str) -> bool:
    """Return whether a text is a node as the configuration wants it."""
    return _NODE.fullmatch(text) is not None


class OpcuaConfig(ConnectionConfig):
    """An OPC UA server."""

    protocol: Literal["opcua"]
    url: str = Field(
        pattern=r"^opc\.tcp://[^/\s@]+(/[^\s@]*)?$",
        description='an address such as "opc.tcp://192.0.2.11:4840", without user or password',
    )
    mode: Literal["subscribe", "poll"] = "subscribe"
    security_policy: Literal["None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"] = (
        "Basic256Sha256"
    )
    security_mode: Literal["Sign", "SignAndEncrypt"] = "SignAndEncrypt"
    insecure: bool = False
    certificate: FilePath | None = Field(default=None, description="our certificate, a file")
    private_key: FilePath | None = Field(default=None, description="the key of our certificate, a file")
    server_certificate: FilePath | None = Field(default=None, description="the server's certificate, a file")

    @field_validator("insecure")
    @classmethod
    def _said_aloud(cls, insecure: bool, info: ValidationInfo) -> bool:
        policy = info.data.get("security_policy")
        if policy == "None" and not insecure:
            raise ValueError(
                'security_policy "None" sends everything in the clear and trusts any server; '
                "say so with insecure = true, or choose another policy"
            )
        if insecure and policy not in (None, "None"):
            raise ValueError(f'insecure = true contradicts security_policy "{policy}"; remove one of them')
        return insecure

    @field_validator("certificate", "private_key", "server_certificate")
    @classmethod
    def _needed_for_security(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        policy = info.data.get("security_policy")
        if policy not in (None, "None") and path is None:
            raise ValueError(f'missing; security_policy "{policy}" needs the path of a file')
        return path


class OpcuaTagKeys(TagIdentity):
    """Where a tag lives in the address space of an OPC UA server."""

    node: str | None = Field(
        default=None, description='OPC UA: the node, "nsu=<namespace URI>;s=<identifier>"'
    )

    @field_validator("node")
    @classmethod
    def _node_id(cls, node: str | None, info: ValidationInfo) -> str | None:
        if applies(info, node, "opcua") and node is None:
            raise ValueError(f"missing; needed: {cls.model_fields['node'].description}")
        if node is not None and not is_node(node):
            raise ValueError(
                'allowed: "nsu=<namespace URI>;s=<text>" (or i=<number>, g=<GUID>, b=<base64>); '
                "the namespace by its URI, because its index may change"
            )
        return node
