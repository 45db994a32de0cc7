"""A Modbus connection, and the keys of a tag on one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from agent.config.base import ConnectionConfig
from agent.config.identity import TagIdentity, applies
from connectors.frame import Dtype, Table

_BIT_TABLES = (Table.COIL, Table.DISCRETE_INPUT)


def _enum(kind: type[Table | Dtype]) -> BeforeValidator:
    def take(value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, str) or value not in set(kind):
            raise ValueError(f"got {value!r}; allowed: " + ", ".join(f'"{member.value}"' for member in kind))
        return kind(value)

    return BeforeValidator(take)


class ModbusConfig(ConnectionConfig):
    """A Modbus TCP device or gateway."""

    protocol: Literal["modbus-tcp"]
    host: str = Field(min_length=1, description='the address of the device, such as "192.0.2.10"')
    port: int = Field(default=502, ge=1, le=65_535, description="a TCP port")


class ModbusTagKeys(TagIdentity):
    """Where a tag lives in a Modbus unit, and what its bits mean."""

    unit_id: int | None = Field(default=None, ge=0, le=255, description="Modbus: the unit id, 0 to 255")
    table: Annotated[Table | None, _enum(Table)] = Field(
        default=None, description="Modbus: " + ", ".join(f'"{table}"' for table in Table)
    )
    register_: int | None = Field(
        default=None,
        alias="register",
        ge=0,
        le=65_535,
        description="Modbus: the address on the wire, counted from 0",
    )
    dtype: Annotated[Dtype | None, _enum(Dtype)] = Field(
        default=None, description="Modbus: " + ", ".join(f'"{dtype}"' for dtype in Dtype)
    )
    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] | None = Field(
        default=None, description='Modbus: the order of bytes, "ABCD" (default), "CDAB", "BADC" or "DCBA"'
    )
    bit: int | None = Field(
        default=None, ge=0, le=15, description="Modbus: one bit of a register, 0 the least"
    )

    @field_validator("unit_id", "table", "register_", "dtype", "order", "bit")
    @classmethod
    def _fits_the_protocol(cls, value: object, info: ValidationInfo) -> object:
        key = str(info.field_name)
        if not applies(info, value, "modbus") or value is not None or key in ("order", "bit"):
            return value
        if key == "dtype" and info.data.get("table") in _BIT_TABLES:
            return value
        raise ValueError(f"missing; needed: {cls.model_fields[key].description}")

    @field_validator("dtype")
    @classmethod
    def _fits_the_table(cls, dtype: Dtype | None, info: ValidationInfo) -> Dtype | None:
        table = info.data.get("table")
        if table in _BIT_TABLES and dtype not in (None, Dtype.BIT):
            raise ValueError(f'a {table} is one bit; allowed: "bit", or leave it out')
        return dtype

    @field_validator("bit")
    @classmethod
    def _of_one_register(cls, bit: int | None, info: ValidationInfo) -> int | None:
        dtype, table = info.data.get("dtype"), info.data.get("table")
        words = (None, Dtype.BIT, Dtype.INT16, Dtype.UINT16)
        if bit is not None and (table in _BIT_TABLES or dtype not in words):
            raise ValueError(
                "a bit is picked from one 16-bit register; allowed with dtype "
                '"bit", "uint16" or "int16" of a holding_register or input_register'
            )
        if bit is None and dtype is Dtype.BIT and table not in (None, *_BIT_TABLES):
            raise ValueError('missing; dtype "bit" of a register needs which one, 0 (the least) to 15')
        return bit
