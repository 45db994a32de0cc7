"""The tables [agent] and [api]."""

from __future__ import annotations

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, Strict, field_validator

from agent.config.base import FilePath, Model, Name
from models.signature import SignatureError, raw_key


class AgentConfig(Model):
    """Where the agent keeps what it must not forget."""

    state_dir: FilePath = Field(description="the folder for the journal and the telemetry log")
    telemetry_max_mb: int = Field(
        default=1024, ge=1, le=1_000_000, description="size in MB above which the oldest telemetry is dropped"
    )
    telemetry_max_days: float = Field(
        default=400.0, gt=0, le=36_500, description="days after which telemetry is dropped"
    )
    telemetry_sync_s: float = Field(
        default=10.0, gt=0, le=60, description="seconds between two writes to disk: what a power cut may cost"
    )
    flash_gb: float = Field(
        default=16.0, gt=0, le=100_000, description="size in GB of the flash that state_dir lies on"
    )
    flash_cycles: int = Field(
        default=1000, ge=1, le=1_000_000, description="how often its cells can be written"
    )
    advisories: FilePath | None = Field(
        default=None, description="a folder with the site's own advisories, *.toml; default: none"
    )
    group_window_s: float = Field(
        default=600.0, ge=0, le=86_400,
        description="seconds within which deviations of one group, or one connection, count as one incident",
    )
    require_signature: bool = Field(
        default=False, description="whether a bundle that nobody trusted has signed is refused"
    )
    trusted_keys: dict[Name, str] = Field(
        default={}, description='names and public keys of those who may sign bundles, "ed25519:..."'
    )

    @field_validator("trusted_keys")
    @classmethod
    def _public_keys(cls, keys: dict[str, str]) -> dict[str, str]:
        for name, key in keys.items():
            try:
                raw_key(key)
            except SignatureError as error:
                raise ValueError(f"{name} = {error}") from error
        return keys


class ApiConfig(Model):
    """Where the REST API listens: this machine only, as long as it has neither TLS nor tokens."""

    host: str = Field(default="127.0.0.1", description='a loopback address, such as "127.0.0.1" or "::1"')
    port: int = Field(default=8470, ge=0, le=65_535, description="a TCP port, 0 for any free one")
    allowed_hosts: Annotated[tuple[str, ...], Strict(False)] = Field(
        default=(), description="further names that a Host header may carry (a reverse proxy's)"
    )
    public_url: str | None = Field(
        default=None, description='the address at which people reach the API, such as "https://gateway.example"'
    )
    label_links_days: float = Field(
        default=7.0, gt=0, le=90, description="days for which a link to say what an alert was is good"
    )

    @property
    def url(self) -> str:
        """The address of the API as people reach it, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")

    @property
    def hosts(self) -> tuple[str, ...]:
        """The further names that a Host header may carry, that of the public address included."""
        named = urlsplit(self.public_url).hostname if self.public_url else None
        return self.allowed_hosts if named is None else (*self.allowed_hosts, named)

    @field_validator("public_url")
    @classmethod
    def _web_address(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "")
        if url is not None and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query):
            raise ValueError(f'"{url}" is no address such as "https://gateway.example"')
        return url

    @field_validator("host")
    @classmethod
    def _loopback_only(cls, host: str) -> str:
        try:
            loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ValueError(
                f'"{host}" is not this machine, and the API has no TLS and no access control yet; '
                'allowed: "127.0.0.1", "::1" or "localhost" (put a reverse proxy in front)'
            )
        return host
