"""What an OPC UA server has recorded of its variables, and how it tells it: HistoryRead (Part 11, 6.5.3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.ua.status_codes import StatusCodes


class Record:
    """The last `rows_max` rows of some variables, in memory; in place of asyncua's history manager.

    An answer has `answer_max` values of a node at most, and then a continuation point: how many were told before.
    """

    def __init__(self, rows_max: int, answer_max: int = 1000) -> None:
        self.answer_max = answer_max
        self._rows: deque[Mapping[ua.NodeId, ua.DataValue]] = deque(maxlen=rows_max)

    def add(self, row: Mapping[ua.NodeId, ua.DataValue]) -> None:
        """Take a row, later than those before: what each node held, with its source time."""
        self._rows.append(row)

    async def read_history(self, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        """Answer a HistoryRead; only raw values are told."""
        details: Any = params.HistoryReadDetails
        if not isinstance(details, ua.ReadRawModifiedDetails) or details.IsReadModified:
            return [_refused(StatusCodes.BadHistoryOperationUnsupported) for _ in params.NodesToRead]
        kept = {node for row in self._rows for node in row}
        return [self._tell(item, details) if item.NodeId in kept
                else _refused(StatusCodes.BadHistoryOperationUnsupported) for item in params.NodesToRead]

    async def stop(self) -> None:
        """Nothing is to be ended."""

    def _tell(self, item: ua.HistoryReadValueId, details: ua.ReadRawModifiedDetails) -> ua.HistoryReadResult:
        """Tell the values of one node; from the end back where the start is behind the end."""
        start, end = _aware(details.StartTime), _aware(details.EndTime)
        first, last = min(start, end), max(start, end)
        values = [row[item.NodeId] for row in self._rows if item.NodeId in row]
        found = [value for value in values if first <= _aware(value.SourceTimestamp) <= last]
        if start > end:
            found.reverse()
        told = int.from_bytes(item.ContinuationPoint or b"", "little")
        most = min(self.answer_max, details.NumValuesPerNode or self.answer_max)
        some = found[told : told + most]
        result = ua.HistoryReadResult()
        result.StatusCode = ua.StatusCode(ua.UInt32(0 if some else StatusCodes.GoodNoData))
        if told + most < len(found):
            result.ContinuationPoint = (told + most).to_bytes(4, "little")
        result.HistoryData = ua.HistoryData(some)
        return result


def _refused(status: int) -> ua.HistoryReadResult:
    return ua.HistoryReadResult(ua.StatusCode(ua.UInt32(status)))


def _aware(stamp: datetime | None) -> datetime:
    assert stamp is not None, "what is shown has a time"
    return stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)
