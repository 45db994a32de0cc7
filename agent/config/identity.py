"""How a tag is called and which connection it comes by, which decides what other keys it may have."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from agent.config import problems
from agent.config.base import Model


class TagIdentity(Model):
    """How a tag is called, and which connection it comes by."""

    name: str = Field(min_length=1, max_length=128, description="the tag's name")
    unit: str = Field(
        min_length=1, max_length=32, description='the unit, such as "bar"; "1" where there is none'
    )
    connection: str = Field(description="the name of a table under [connections]")
    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable() or name != name.strip():
            raise ValueError("allowed: printable characters, no space at either end")
        return name

    @field_validator("connection")
    @classmethod
    def _exists(cls, connection: str, info: ValidationInfo) -> str:
        known = (info.context or {}).get("protocols", {})
        if connection not in known:
            hint = problems.did_you_mean(connection, known)
            raise ValueError(f"there is no [connections.{connection}]{hint}")
        return connection


def applies(info: ValidationInfo, value: object, family: str) -> bool:
    """Return whether a key of a protocol family ("modbus", "opcua") is wanted for this tag.

    Raise ValueError where it is given although the tag's connection speaks another. Before its connection is known to
    be right, nothing is wanted.
    """
    connection = info.data.get("connection")
    protocol = (info.context or {}).get("protocols", {}).get(connection)
    if protocol is None:
        return False
    if protocol.partition("-")[0] == family:
        return True
    if value is not None:
        raise ValueError(f'does not apply: connection "{connection}" speaks {protocol}; remove it')
    return False
