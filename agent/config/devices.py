"""Modbus connections: by TCP, by TLS, or on a serial line, and how hard their devices may be asked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from agent.config.base import ConnectionConfig, FilePath

Parity = Literal["none", "even", "odd"]


class ModbusConfig(ConnectionConfig):
    """What every Modbus connection has: what its devices can bear, and how they count."""

    retries: int = Field(default=0, ge=0, le=5, description="how often a request without a reply is repeated at once")
    min_gap_ms: int = Field(default=50, ge=0, le=60_000, description="milliseconds from a reply to the next request")
    pause_after_connect_ms: int = Field(
        default=0, ge=0, le=60_000, description="milliseconds to wait after connecting, before the first request"
    )
    close_after_poll: bool = Field(default=False, description="whether to let go of the connection after each read")
    max_registers: int = Field(default=125, ge=1, le=125, description="registers in one request, at most")
    max_bits: int = Field(default=2000, ge=1, le=2000, description="coils or discrete inputs in one request, at most")
    max_gap_registers: int = Field(
        default=8, ge=0, le=124, description="unused registers between two tags that are read in one request, at most"
    )
    one_request_per_tag: bool = Field(default=False, description="whether every tag is asked for by itself")
    address_base: Literal[0, 1] = Field(
        default=0, description="what the first register is called in this table's tags, 0 as on the wire or 1"
    )


class ModbusNetworkConfig(ModbusConfig):
    """A Modbus device or gateway with an address in a network, and perhaps a second one."""

    host: str = Field(min_length=1, description='the address of the device, such as "192.0.2.10"')
    port: int = Field(default=502, ge=1, le=65_535, description="a TCP port")
    backup_host: str | None = Field(
        default=None, min_length=1, description="another address of the same device, used while the first fails"
    )
    backup_port: int | None = Field(default=None, ge=1, le=65_535, description="the TCP port there, if another")

    @field_validator("backup_port")
    @classmethod
    def _of_a_backup(cls, port: int | None, info: ValidationInfo) -> int | None:
        host = info.data.get("backup_host")
        if port is not None and host is None and "backup_host" in info.data:
            raise ValueError("needs backup_host, the address it is a port of; add backup_host or remove it")
        if host is not None and (host, port or info.data.get("port")) == (info.data.get("host"), info.data.get("port")):
            raise ValueError("the backup is the first address again; name another one or remove it")
        return port


class ModbusTcpConfig(ModbusNetworkConfig):
    """A Modbus TCP device or gateway, or a serial line behind a converter that passes its bytes on as they are."""

    protocol: Literal["modbus-tcp", "modbus-rtu-over-tcp", "modbus-ascii-over-tcp"]


class ModbusTlsConfig(ModbusNetworkConfig):
    """A Modbus device or gateway that speaks TLS."""

    protocol: Literal["modbus-tls"]
    port: int = Field(default=802, ge=1, le=65_535, description="a TCP port")
    ca: FilePath = Field(description="the certificate of the device, or of who signed it, a PEM file")
    server_name: str | None = Field(
        default=None, min_length=1, description="the name in the device's certificate, if not its host"
    )
    certificate: FilePath | None = Field(default=None, description="our certificate, a PEM file")
    private_key: FilePath | None = Field(default=None, description="the key of our certificate, a PEM file")

    @field_validator("private_key")
    @classmethod
    def _both_or_none(cls, key: FilePath | None, info: ValidationInfo) -> FilePath | None:
        if "certificate" in info.data and (key is None) != (info.data["certificate"] is None):
            raise ValueError("certificate and private_key belong together; give both or none")
        return key


class ModbusSerialConfig(ModbusConfig):
    """Modbus devices on a serial line of this machine."""

    protocol: Literal["modbus-rtu", "modbus-ascii"]
    device: str = Field(
        pattern=r"^/\S+$", description='the device file, such as "/dev/serial/by-id/usb-FTDI_FT232R-if00-port0"'
    )
    baudrate: int = Field(default=19_200, ge=300, le=4_000_000, description="bits per second")
    parity: Parity = "even"
    stop_bits: Literal[1, 2] = 1
    data_bits: Literal[7, 8] = 8

    @field_validator("data_bits")
    @classmethod
    def _enough(cls, bits: int, info: ValidationInfo) -> int:
        if bits == 7 and info.data.get("protocol") == "modbus-rtu":
            raise ValueError("got 7; allowed: 8, since RTU sends whole bytes (7 is for modbus-ascii)")
        return bits


AnyModbusConfig = ModbusTcpConfig | ModbusTlsConfig | ModbusSerialConfig
