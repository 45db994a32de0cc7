"""Which OPC UA server, how to read it and how to trust it. Pure: it needs no wire library."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from connectors import ConnectorError

SECURITY_POLICIES: Final = ("None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
"""By their names in OPC UA Part 7; the deprecated Basic128Rsa15 and Basic256 are not among them."""
SECURITY_MODES: Final = ("Sign", "SignAndEncrypt")


class OpcuaMode(StrEnum):
    """How values come: the server tells of changes, or it is asked each time."""

    SUBSCRIBE = "subscribe"
    POLL = "poll"


@dataclass(frozen=True, slots=True)
class OpcuaEndpoint:
    """An OPC UA server, how to read it and how to trust it. `timeout_ms` is for each request.

    A policy other than "None" needs the client's certificate and key and the server's certificate, as files
    (DER or PEM); "None" is neither private nor protected and must be asked for aloud by `insecure`. Values
    whose source times differ by no more than `group_ms` make one row.
    """

    url: str
    mode: OpcuaMode = OpcuaMode.SUBSCRIBE
    timeout_ms: int = 2000
    publishing_interval_ms: int = 500
    keepalive_count: int = 10
    lifetime_count: int = 60
    queue_size: int = 10
    buffer_changes: int = 20_000
    group_ms: float = 5.0
    max_nodes_per_request: int = 500
    max_requests_per_s: float = 10.0
    min_gap_ms: float = 50.0
    security_policy: str = "None"
    security_mode: str = "SignAndEncrypt"
    insecure: bool = False
    certificate: Path | None = None
    private_key: Path | None = None
    private_key_password: str | None = None
    server_certificate: Path | None = None
    application_uri: str = "urn:forewarn:agent"

    def __str__(self) -> str:
        return f"OPC UA server {self.url}"


def check_security(endpoint: OpcuaEndpoint) -> None:
    """Raise ConnectorError listing all that is missing or contradictory in how the endpoint is to be
    trusted.
    """
    problems = []
    policy = endpoint.security_policy
    secure = policy in SECURITY_POLICIES[1:]
    if not secure and policy != "None":
        problems.append(f"security_policy \"{policy}\" is none of {', '.join(SECURITY_POLICIES)}")
    if policy == "None" and not endpoint.insecure:
        problems.append("security_policy \"None\" neither signs nor encrypts; if that is meant, say "
                        "insecure = true")
    if secure and endpoint.insecure:
        problems.append(f"insecure = true contradicts security_policy \"{policy}\"")
    if secure and endpoint.security_mode not in SECURITY_MODES:
        problems.append(f"security_mode \"{endpoint.security_mode}\" is none of {', '.join(SECURITY_MODES)}")
    files = {"certificate": endpoint.certificate, "private_key": endpoint.private_key,
             "server_certificate": endpoint.server_certificate}
    if secure:
        problems += [f"{name} is missing" if path is None else f"{name}: there is no file {path}"
                     for name, path in files.items() if path is None or not path.is_file()]
    if problems:
        raise ConnectorError(f"{endpoint}: " + "; ".join(problems), retryable=False)
