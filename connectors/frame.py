"""The language of the wire: tags, their addresses, and frames of values with a status beside each value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]
UInt32s = npt.NDArray[np.uint32]
Bools = npt.NDArray[np.bool_]

# Status codes of OPC UA Part 4, 7.39 and Part 6, A.2. The two top bits are the severity: 00 good, 01 uncertain, 10 bad.
GOOD: Final = 0x00000000
UNCERTAIN: Final = 0x40000000
UNCERTAIN_ENGINEERING_UNITS_EXCEEDED: Final = 0x40940000
BAD: Final = 0x80000000
BAD_UNEXPECTED_ERROR: Final = 0x80010000
BAD_INTERNAL_ERROR: Final = 0x80020000
BAD_COMMUNICATION_ERROR: Final = 0x80050000
BAD_DECODING_ERROR: Final = 0x80070000
BAD_TIMEOUT: Final = 0x800A0000
BAD_NODE_ID_UNKNOWN: Final = 0x80340000
BAD_OUT_OF_RANGE: Final = 0x803C0000
BAD_TYPE_MISMATCH: Final = 0x80740000
BAD_NO_COMMUNICATION: Final = 0x80310000
BAD_WAITING_FOR_INITIAL_DATA: Final = 0x80320000
BAD_CONFIGURATION_ERROR: Final = 0x80890000
BAD_NOT_CONNECTED: Final = 0x808A0000
BAD_DEVICE_FAILURE: Final = 0x808B0000
BAD_SENSOR_FAILURE: Final = 0x808C0000
BAD_OUT_OF_SERVICE: Final = 0x808D0000
BAD_DATA_LOST: Final = 0x809D0000
BAD_NO_DATA: Final = 0x809B0000
"""The cell was not sampled in this row (another connection reads it): neither good nor a failure."""

STATUS_NAMES: Final[dict[int, str]] = {
    GOOD: "Good",
    UNCERTAIN: "Uncertain",
    UNCERTAIN_ENGINEERING_UNITS_EXCEEDED: "UncertainEngineeringUnitsExceeded",
    BAD: "Bad",
    BAD_UNEXPECTED_ERROR: "BadUnexpectedError",
    BAD_INTERNAL_ERROR: "BadInternalError",
    BAD_COMMUNICATION_ERROR: "BadCommunicationError",
    BAD_DECODING_ERROR: "BadDecodingError",
    BAD_TIMEOUT: "BadTimeout",
    BAD_NODE_ID_UNKNOWN: "BadNodeIdUnknown",
    BAD_OUT_OF_RANGE: "BadOutOfRange",
    BAD_TYPE_MISMATCH: "BadTypeMismatch",
    BAD_NO_COMMUNICATION: "BadNoCommunication",
    BAD_WAITING_FOR_INITIAL_DATA: "BadWaitingForInitialData",
    BAD_CONFIGURATION_ERROR: "BadConfigurationError",
    BAD_NOT_CONNECTED: "BadNotConnected",
    BAD_DEVICE_FAILURE: "BadDeviceFailure",
    BAD_SENSOR_FAILURE: "BadSensorFailure",
    BAD_OUT_OF_SERVICE: "BadOutOfService",
    BAD_DATA_LOST: "BadDataLost",
    BAD_NO_DATA: "BadNoData",
}


_INT64, _FLOAT32, _UINT32 = np.dtype(np.int64), np.dtype(np.float32), np.dtype(np.uint32)
_BAD: Final = np.uint32(BAD)  # the highest severity bit: every Bad status is at least this, no other one is


def status_name(status: int) -> str:
    """Return the OPC UA name of a status code, or its class and hexadecimal form where it has no name here."""
    severity = ("Good", "Uncertain", "Bad", "Bad")[(status >> 30) & 3]
    return STATUS_NAMES.get(status, f"{severity} (0x{status:08X})")


def is_bad(status: UInt32s) -> Bools:
    """Return where the severity bits say Bad (Uncertain values are kept as information)."""
    return np.asarray(status >= _BAD)


def all_good(status: UInt32s) -> bool:
    """Return whether every status is Good, by the bytes: of a few cells, seldom read, that is faster than numpy."""
    return status.tobytes() == bytes(status.nbytes)


class Table(StrEnum):
    """The four Modbus tables (Modbus Application Protocol V1.1b3, 4.3)."""

    COIL = "coil"
    DISCRETE_INPUT = "discrete_input"
    HOLDING_REGISTER = "holding_register"
    INPUT_REGISTER = "input_register"


class Dtype(StrEnum):
    """What a tag's bits mean on the wire; BCD holds a decimal digit in every four bits."""

    BIT = "bit"
    INT8_HIGH = "int8_high"
    INT8_LOW = "int8_low"
    UINT8_HIGH = "uint8_high"
    UINT8_LOW = "uint8_low"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT16 = "float16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BCD16 = "bcd16"
    BCD32 = "bcd32"
    STRING = "string"


@dataclass(frozen=True, slots=True)
class ModbusAddress:
    """Where a tag lives in a Modbus unit.

    `register` counts from 0 as on the wire. `order` names the bytes of the value as they arrive, `A` the most
    significant (connectors.modbus.orders). `bit` picks `bits` bits of a register, from that one (0 the least) up.
    `length` is how many registers a string takes.
    """

    unit_id: int
    table: Table
    register: int
    order: str = "ABCD"
    bit: int | None = None
    bits: int = 1
    length: int = 0

    def __str__(self) -> str:
        bit = "" if self.bit is None else f" bit {self.bit}"
        if self.bit is not None and self.bits > 1:
            bit = f" bits {self.bit} to {self.bit + self.bits - 1}"
        return f"unit {self.unit_id} {self.table.value} {self.register}{bit}"


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """Where a tag lives in an OPC UA address space: the namespace by URI (its index may move), the id as in a NodeId.

    `identifier` is the tail of the textual NodeId: "s=pump.speed", "i=2258", "g=...", "b=...".
    """

    namespace_uri: str
    identifier: str

    def __str__(self) -> str:
        return f"nsu={self.namespace_uri};{self.identifier}"


@dataclass(frozen=True, slots=True)
class PathAddress:
    """Where a tag lives in an OPC UA address space, by the names that lead there from the Objects folder.

    `path` is as in connectors.opcua.paths: "Objects/nsu=urn:example:press;Press 4/nsu=urn:example:press;Speed".
    """

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Tag:
    """One measured quantity: value = raw * scale + offset, in `unit`.

    A value outside [`low`, `high`] (in `unit`) is impossible for the sensor and reported as BadOutOfRange; with `clamp`
    it is the limit, with the status UncertainEngineeringUnitsExceeded. `invalid` are the raw numbers that mean "no
    value" (BadSensorFailure), `texts` what the texts of a string stand for, as raw numbers; any other text is
    BadTypeMismatch. `period_ms` is how often the tag is wanted. An OPC UA server reports only changes beyond `deadband`
    (in `unit`) or `deadband_percent` (of the node's EURange), where one is not 0. The value of a `counter` is how fast
    it counts: counts per second * scale (connectors.counters); it begins anew after `rollover`, 0 for the highest
    number of its type. For replayed recordings the address is None.
    """

    name: str
    unit: str
    address: ModbusAddress | NodeAddress | PathAddress | None = None
    dtype: Dtype = Dtype.FLOAT32
    scale: float = 1.0
    offset: float = 0.0
    low: float = -np.inf
    high: float = np.inf
    period_ms: int = 1000
    clamp: bool = False
    invalid: tuple[float, ...] = ()
    texts: tuple[tuple[str, float], ...] = ()
    deadband: float = 0.0
    deadband_percent: float = 0.0
    counter: bool = False
    rollover: float = 0.0


@dataclass(frozen=True, slots=True)
class Frame:
    """T rows of C tags: `source_time_ns` i64[T] (UTC, ns since 1970), `values` f32[T, C], `status` u32[T, C].

    The columns are in the order of the tags it was read for. A Bad status means NaN; a last known value is never
    invented. Rows are in order of arrival.
    """

    source_time_ns: Int64s
    values: Float32s
    status: UInt32s

    def __post_init__(self) -> None:
        rows, columns = self.values.shape
        assert self.source_time_ns.shape == (rows,)
        assert self.source_time_ns.dtype == _INT64
        assert self.values.dtype == _FLOAT32
        assert self.status.shape == (rows, columns)
        assert self.status.dtype == _UINT32
        if not all_good(self.status):
            assert np.isnan(self.values[is_bad(self.status)]).all(), "a Bad value is NaN"

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        return len(self.source_time_ns)

    @property
    def columns(self) -> int:
        """How many tags it holds."""
        return int(self.values.shape[1])

    @classmethod
    def of(cls, source_time_ns: int, values: npt.ArrayLike, status: npt.ArrayLike) -> Frame:
        """Make a frame of one row; where the status is Bad or the value is not finite, the value becomes NaN."""
        return cls.clean(
            np.array([source_time_ns], np.int64),
            np.atleast_2d(np.asarray(values, np.float32)),
            np.atleast_2d(np.asarray(status, np.uint32)),
        )

    @classmethod
    def clean(cls, source_time_ns: Int64s, values: Float32s, status: UInt32s) -> Frame:
        """Make a frame from arrays of shape [T], [T, C], [T, C]: Bad cells become NaN, NaN and infinity become Bad."""
        status = np.where(~np.isfinite(values) & ~is_bad(status), np.uint32(BAD_DECODING_ERROR), status)
        return cls(source_time_ns, np.where(is_bad(status), np.float32(np.nan), values), status)

    @classmethod
    def bad(cls, source_time_ns: int, columns: int, status: int) -> Frame:
        """Make a frame of one row in which every cell has the Bad `status`."""
        return cls.of(source_time_ns, np.full(columns, np.nan), np.full(columns, status, np.uint32))

    @classmethod
    def empty(cls, columns: int) -> Frame:
        """Make a frame without rows."""
        return cls(np.zeros(0, np.int64), np.zeros((0, columns), np.float32), np.zeros((0, columns), np.uint32))

    def spread(self, positions: npt.NDArray[np.intp], columns: int) -> Frame:
        """Lay the columns at `positions` of a wider frame; the other cells are BadNoData."""
        values = np.full((self.rows, columns), np.nan, np.float32)
        status = np.full((self.rows, columns), BAD_NO_DATA, np.uint32)
        values[:, positions] = self.values
        status[:, positions] = self.status
        return Frame(self.source_time_ns, values, status)

    def select(self, positions: npt.NDArray[np.intp]) -> Frame:
        """Return the columns at `positions`, in that order."""
        return Frame(self.source_time_ns, self.values[:, positions], self.status[:, positions])

    def rows_of(self, which: slice) -> Frame:
        """Return some of the rows."""
        return Frame(self.source_time_ns[which], self.values[which], self.status[which])
