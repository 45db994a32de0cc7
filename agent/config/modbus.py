"""The keys of a tag on a Modbus connection."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from agent.config.identity import TagIdentity, applies
from agent.config.modicon import FORM, modicon
from connectors.frame import Dtype, Table
from connectors.modbus.orders import names
from connectors.modbus.plan import BIT_TABLES

T = TypeVar("T")


def _enum(kind: type[Table | Dtype]) -> BeforeValidator:
    def take(value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, str) or value not in set(kind):
            raise ValueError(f"got {value!r}; allowed: " + ", ".join(f'"{member.value}"' for member in kind))
        return kind(value)

    return BeforeValidator(take)


def _quoted(address: object) -> object:
    """Take a text; a number would have lost the zeros in front that say which table it is."""
    if isinstance(address, bool) or not isinstance(address, int):
        return address
    raise ValueError(f'got {address}; write it in quotes: "{address:05d}"')


class ModbusTagKeys(TagIdentity):
    """Where a tag lives in a Modbus unit, and what its bits mean.

    Once checked, `table` and `register_` say where it is on the wire, whichever way the file says it.
    """

    unit_id: int | None = Field(default=None, ge=0, le=255, description="Modbus: the unit id, 0 to 255")
    address: Annotated[str | None, BeforeValidator(_quoted)] = Field(
        default=None, description=f"Modbus: in Modicon's notation, {FORM}"
    )
    table: Annotated[Table | None, _enum(Table)] = Field(
        default=None, description="Modbus: " + ", ".join(f'"{table}"' for table in Table)
    )
    register_: int | None = Field(
        default=None,
        alias="register",
        description="Modbus: the address on the wire, 0 to 65535, or 1 to 65536 with address_base = 1",
    )
    dtype: Annotated[Dtype | None, _enum(Dtype)] = Field(
        default=None, description="Modbus: " + ", ".join(f'"{dtype}"' for dtype in Dtype)
    )
    order: str | None = Field(
        default=None, description='Modbus: the order of bytes, such as "ABCD" (default) or "CDAB"'
    )
    bit: int | None = Field(
        default=None, ge=0, le=15, description="Modbus: one bit of a register, 0 the least"
    )
    bits: int | None = Field(
        default=None, ge=1, le=16, description="Modbus: how many bits, from `bit` up, make the value"
    )
    length: int | None = Field(
        default=None, ge=1, le=125, description='Modbus: how many registers a "string" takes'
    )

    @field_validator("address")
    @classmethod
    def _modicon(cls, address: str | None, info: ValidationInfo) -> str | None:
        if applies(info, address, "modbus") and address is not None:
            modicon(address)
        return address

    @field_validator("table")
    @classmethod
    def _table(cls, table: Table | None, info: ValidationInfo) -> Table | None:
        address = info.data.get("address")
        if "address" not in info.data:
            return table  # what it says is refused already
        if not applies(info, table, "modbus") or address is None:
            return _needed(cls, table, info)
        meant, _ = modicon(address)
        if table not in (None, meant):
            raise ValueError(f'"{table}" contradicts address = "{address}", a {meant}; remove one of them')
        return meant

    @field_validator("register_")
    @classmethod
    def _register(cls, register: int | None, info: ValidationInfo) -> int | None:
        address = info.data.get("address")
        if "address" not in info.data:
            return register
        meant = None if address is None else modicon(address)[1]
        if not applies(info, register, "modbus") or register is None:
            return _needed(cls, meant, info)
        base = int((info.context or {}).get("address_bases", {}).get(info.data["connection"], 0))
        if not base <= register <= 65_535 + base:
            raise ValueError(f"got {register}; allowed: {base} to {65_535 + base} "
                             f"(its connection has address_base = {base})")
        if meant not in (None, register - base):
            raise ValueError(f'{register} contradicts address = "{address}", which is another register; '
                             "remove one of them")
        return register - base

    @field_validator("unit_id", "dtype", "order", "bit", "bits", "length")
    @classmethod
    def _fits_the_protocol(cls, value: object, info: ValidationInfo) -> object:
        key = str(info.field_name)
        if not applies(info, value, "modbus") or key not in ("unit_id", "dtype"):
            return value
        if key == "dtype" and info.data.get("table") in BIT_TABLES:
            return value
        return _needed(cls, value, info)

    @field_validator("dtype")
    @classmethod
    def _fits_the_table(cls, dtype: Dtype | None, info: ValidationInfo) -> Dtype | None:
        table = info.data.get("table")
        if table in BIT_TABLES and dtype not in (None, Dtype.BIT):
            raise ValueError(f'a {table} is one bit; allowed: "bit", or leave it out')
        return dtype

    @field_validator("order")
    @classmethod
    def _fits_the_width(cls, order: str | None, info: ValidationInfo) -> str | None:
        dtype = info.data.get("dtype")
        if order is not None and dtype is not None and order not in names(dtype):
            allowed = ", ".join(f'"{name}"' for name in names(dtype))
            raise ValueError(f"got {order!r}; allowed: {allowed} for a {dtype}")
        return order

    @field_validator("bit")
    @classmethod
    def _of_one_register(cls, bit: int | None, info: ValidationInfo) -> int | None:
        dtype, table = info.data.get("dtype"), info.data.get("table")
        words = (None, Dtype.BIT, Dtype.INT16, Dtype.UINT16)
        if bit is not None and (table in BIT_TABLES or dtype not in words):
            raise ValueError(
                "a bit is picked from one 16-bit register; allowed with dtype "
                '"bit", "uint16" or "int16" of a holding_register or input_register'
            )
        if bit is None and dtype is Dtype.BIT and table not in (None, *BIT_TABLES):
            raise ValueError('missing; dtype "bit" of a register needs which one, 0 (the least) to 15')
        return bit

    @field_validator("bits")
    @classmethod
    def _from_a_bit(cls, bits: int | None, info: ValidationInfo) -> int | None:
        bit = info.data.get("bit")
        if bits is None:
            return None
        if bit is None:
            raise ValueError("needs bit, the least of them; add bit or remove bits")
        if bit + bits > 16:
            raise ValueError(f"{bits} bits from bit {bit} leave the register; allowed: 1 to {16 - bit}")
        return bits

    @field_validator("length")
    @classmethod
    def _of_a_string(cls, length: int | None, info: ValidationInfo) -> int | None:
        dtype = info.data.get("dtype")
        if dtype is Dtype.STRING and length is None:
            raise ValueError('missing; dtype "string" needs how many registers it takes, 1 to 125')
        if length is not None and dtype not in (None, Dtype.STRING):
            raise ValueError(f'only a dtype "string" has a length; a {dtype} has its own; remove it')
        return length


def _needed(model: type[ModbusTagKeys], value: T, info: ValidationInfo) -> T:
    """Return the value; raise ValueError where it is missing although its tag is a Modbus one."""
    if value is None and applies(info, value, "modbus"):
        raise ValueError(f"missing; needed: {model.model_fields[str(info.field_name)].description}")
    return value
