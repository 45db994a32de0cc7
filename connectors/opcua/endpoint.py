"""Which OPC UA server, how to read it and how to trust it. Pure: it needs no wire library."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from connectors import ConnectorError
from connectors.load import SLOW_BY_MS
from connectors.opcua.gaps import Recovery

SECURITY_POLICIES: Final = ("None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
"""By their names in OPC UA Part 7; the deprecated Basic128Rsa15 and Basic256 are not among them."""
SECURITY_MODES: Final = ("Sign", "SignAndEncrypt")


class OpcuaMode(StrEnum):
    """How values come: the server tells of changes, or it is asked each time."""

    SUBSCRIBE = "subscribe"
    POLL = "poll"


class Timestamps(StrEnum):
    """Whose clock stamps a value: the source's (Part 4, 7.11), the server's, or the gateway's when it arrives."""

    SOURCE = "source"
    SERVER = "server"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class User:
    """Who logs in: a user name with the file of its password, or a user certificate with its key; else anonymous."""

    name: str = ""
    password_file: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None

    @property
    def password(self) -> str:
        """The password, read anew each time so that it may be changed; raise ConnectorError."""
        assert self.password_file is not None
        try:
            if self.password_file.stat().st_mode & 0o007:
                raise ConnectorError(f"password_file {self.password_file} may be read by every user of this machine: "
                                     f"chmod 600 {self.password_file}")
            return self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise ConnectorError(f"password_file {self.password_file} cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise ConnectorError(f"password_file {self.password_file} is not UTF-8") from error


@dataclass(frozen=True, slots=True)
class OpcuaEndpoint:
    """An OPC UA server, how to read it and how to trust it. `timeout_ms` is for each request.

    A policy other than "None" needs our certificate and key, as files (DER or PEM) or in `pki`, where they are made
    (`pki`/own), and the server's certificate, as a file or in `pki`/trusted. "None" is neither private nor protected
    and must be asked for aloud by `insecure`. Values whose source times differ by no more than `group_ms` make one row.
    `trust_command` is what a person types to trust a server. A clock of the server that differs by more than
    `skew_told_s` is told. `backup_url` is a redundant server, "" where there is none. `history` says from which end
    gaps are filled from the server's history, None that they are not; `history_max_h` is how much of one at most.
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
    slow_by_ms: float = SLOW_BY_MS
    security_policy: str = "None"
    security_mode: str = "SignAndEncrypt"
    insecure: bool = False
    certificate: Path | None = None
    private_key: Path | None = None
    private_key_password: str | None = None
    server_certificate: Path | None = None
    pki: Path | None = None
    trust_command: str = "forewarn trust CONFIG CONNECTION"
    user: User = User()
    timestamps: Timestamps = Timestamps.SOURCE
    skew_told_s: float = 5.0
    backup_url: str = ""
    history: Recovery | None = None
    history_max_h: float = 24.0
    application_uri: str = "urn:forewarn:agent"

    def __str__(self) -> str:
        return f"OPC UA server {self.url}"

    @property
    def urls(self) -> tuple[str, ...]:
        """The servers, the preferred one first."""
        return (self.url, self.backup_url) if self.backup_url else (self.url,)


def check_security(endpoint: OpcuaEndpoint) -> None:
    """Raise ConnectorError listing all that is missing or contradictory in how the endpoint is to be
    trusted.
    """
    problems = []
    policy, user = endpoint.security_policy, endpoint.user
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
    if secure:
        problems += _missing(endpoint)
    if user.name and user.certificate:
        problems.append("user and user_certificate exclude each other")
    for name, path in {"user_certificate": user.certificate, "user_private_key": user.private_key}.items():
        if path is not None and not path.is_file():
            problems.append(f"{name}: there is no file {path}")
    if problems:
        raise ConnectorError(f"{endpoint}: " + "; ".join(problems), retryable=False)


def _missing(endpoint: OpcuaEndpoint) -> list[str]:
    """Return which files a secured endpoint lacks: those without `pki`, and those that are named and not there."""
    files = {"certificate": endpoint.certificate, "private_key": endpoint.private_key,
             "server_certificate": endpoint.server_certificate}
    optional = endpoint.pki is not None
    half = (endpoint.certificate is None) != (endpoint.private_key is None)
    return [f"{name} is missing" if path is None else f"{name}: there is no file {path}"
            for name, path in files.items()
            if not (path.is_file() if path is not None else optional and not (half and name != "server_certificate"))]
