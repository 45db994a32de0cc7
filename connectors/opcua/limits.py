"""How much one request to a server may ask for, and what it says when that was too much. Pure.

A server tells its OperationLimits (Part 5, 6.3.11), or refuses what is too much for it; some do only the latter.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

TOO_MANY: Final = frozenset({
    0x80080000,  # BadEncodingLimitsExceeded
    0x80100000,  # BadTooManyOperations
    0x80B80000,  # BadRequestTooLarge
    0x80B90000,  # BadResponseTooLarge
    0x80DB0000,  # BadTooManyMonitoredItems
})
"""Status codes (Part 6, A.2) after which half of it is asked for."""
NOT_FOLLOWED: Final[Mapping[int, str]] = {
    0x800B0000: "BadServiceUnsupported", 0x803D0000: "BadNotSupported", 0x80770000: "BadTooManySubscriptions",
    0x80DB0000: "BadTooManyMonitoredItems", 0x80280000: "BadSubscriptionIdInvalid",
}
"""Status codes of a server that will not tell of changes, of one tag or of any: it is asked for the values instead."""


class Service(StrEnum):
    """Services with an operation limit, by the name of the limit."""

    READ = "MaxNodesPerRead"
    MONITOR = "MaxMonitoredItemsPerCall"
    HISTORY = "MaxNodesPerHistoryReadData"
    TRANSLATE = "MaxNodesPerTranslateBrowsePathsToNodeIds"


class Limits:
    """How many operations a request may have: no more than configured, than the server says, and than it has taken."""

    def __init__(self, most: int) -> None:
        assert most > 0
        self._most = most
        self._said: dict[Service, int] = {}
        self._taken: dict[Service, int] = {}

    def say(self, said: Mapping[Service, int]) -> None:
        """Take note of what the server says; 0 is without limit."""
        self._said = {service: number for service, number in said.items() if number > 0}

    def of(self, service: Service) -> int:
        """Return how many operations a request may have, at least 1."""
        return min(self._most, self._said.get(service, self._most), self._taken.get(service, self._most))

    def refused(self, service: Service, operations: int) -> bool:
        """Take note that a request was too much; return whether less can be asked for."""
        if operations <= 1:
            return False
        self._taken[service] = min(self.of(service), operations // 2)
        return True

    def notes(self) -> tuple[str, ...]:
        """Say what was refused although the server's own limits, or their absence, allowed it."""
        return tuple(f"the server refuses more than about {number} nodes in a request, although it does not say so "
                     f"({service.value}); it is asked for fewer" for service, number in sorted(self._taken.items()))
