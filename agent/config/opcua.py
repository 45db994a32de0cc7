"""An OPC UA connection, and the keys of a tag on one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from agent.config.base import ConnectionConfig, FilePath
from agent.config.identity import TagIdentity, applies
from connectors.opcua.paths import steps

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
    user: str = Field(default="", max_length=256, description="the user to log in as")
    password_file: FilePath | None = Field(default=None, description="the file with the user's password")
    user_certificate: FilePath | None = Field(default=None, description="the certificate to log in with, a file")
    user_private_key: FilePath | None = Field(default=None, description="the key of user_certificate, a file")
    timestamps: Literal["source", "server", "gateway"] = "source"
    backup_url: str = Field(
        default="",
        pattern=r"^(opc\.tcp://[^/\s@]+(/[^\s@]*)?)?$",
        description='the address of a redundant server, such as "opc.tcp://192.0.2.12:4840"',
    )

    history: Literal["off", "oldest_first", "newest_first"] = "off"
    history_max_h: float = Field(
        default=24.0, gt=0, le=8784, allow_inf_nan=False, description="hours of an outage that are filled at most"
    )

    @field_validator("history")
    @classmethod
    def _by_the_source(cls, history: str, info: ValidationInfo) -> str:
        if history != "off" and info.data.get("timestamps") == "gateway":
            raise ValueError(
                'history is asked for by the times of the server; set timestamps to "source" or "server", '
                'or history to "off"'
            )
        return history

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

    @field_validator("private_key", "user_private_key")
    @classmethod
    def _both_or_neither(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        other = {"private_key": "certificate", "user_private_key": "user_certificate"}[info.field_name or ""]
        if (key is None) != (info.data.get(other) is None):
            given, missing = (other, info.field_name) if key is None else (info.field_name, other)
            raise ValueError(f"{given} is given and {missing} is not; give both or neither")
        return key

    @field_validator("password_file")
    @classmethod
    def _with_a_user(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        user = info.data.get("user")
        if user and path is None:
            raise ValueError(f'missing; user "{user}" needs the path of a file with the password')
        if path is not None and user == "":
            raise ValueError("there is no user; give one or remove it")
        return path

    @field_validator("user_certificate")
    @classmethod
    def _one_identity(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is not None and info.data.get("user"):
            raise ValueError("user and user_certificate exclude each other; remove one of them")
        return path

    @field_validator("backup_url")
    @classmethod
    def _another_server(cls, url: str, info: ValidationInfo) -> str:
        if url and url == info.data.get("url"):
            raise ValueError("the same as url; name the other server or remove it")
        return url


class OpcuaTagKeys(TagIdentity):
    """Where a tag lives in the address space of an OPC UA server."""

    node: str | None = Field(
        default=None, description='OPC UA: the node, "nsu=<namespace URI>;s=<identifier>"'
    )
    path: str | None = Field(
        default=None, description='OPC UA: instead of node the names that lead there, "Objects/nsu=<URI>;<name>/..."'
    )
    deadband: float | None = Field(
        default=None, gt=0, allow_inf_nan=False,
        description="OPC UA: the smallest change, in the tag's unit, that the server reports",
    )
    deadband_percent: float | None = Field(
        default=None, gt=0, le=100, description="OPC UA: the same in percent of the node's EURange, above 0, to 100"
    )

    @field_validator("node")
    @classmethod
    def _node_id(cls, node: str | None, info: ValidationInfo) -> str | None:
        applies(info, node, "opcua")
        if node is not None and _NODE.fullmatch(node) is None:
            raise ValueError(
                'allowed: "nsu=<namespace URI>;s=<text>" (or i=<number>, g=<GUID>, b=<base64>); '
                "the namespace by its URI, because its index may change"
            )
        return node

    @field_validator("path")
    @classmethod
    def _browse_path(cls, path: str | None, info: ValidationInfo) -> str | None:
        if not applies(info, path, "opcua"):
            return path
        node = info.data.get("node")
        if path is None and node is None and "node" in info.data:
            raise ValueError(f"missing, as is node; needed: {cls.model_fields['node'].description}")
        if path is not None:
            if node is not None:
                raise ValueError("node and path exclude each other; remove one of them")
            steps(path)
        return path

    @field_validator("deadband", "deadband_percent")
    @classmethod
    def _one_deadband(cls, width: float | None, info: ValidationInfo) -> float | None:
        applies(info, width, "opcua")
        if width is not None and info.data.get("deadband") is not None:
            raise ValueError("deadband and deadband_percent exclude each other; remove one of them")
        return width
