"""The tables [agent] and [api]."""

from __future__ import annotations

import ipaddress
from typing import Annotated

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
