"""Which of a device's addresses is used: the first, another while that fails, and back after a while. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from connectors.link import Clock

Address = tuple[str, int]
BACK_AFTER_NS: Final = 300_000_000_000


class Addresses:
    """Remembers, over reconnections too, which address serves; without a second one there is nothing to choose."""

    def __init__(self, addresses: Sequence[Address], clock: Clock) -> None:
        assert addresses
        self._addresses = tuple(addresses)
        self._clock = clock
        self._in_use = 0
        self._back_at_ns = 0

    def order(self) -> tuple[Address, ...]:
        """Return the addresses in the order in which to try them."""
        if self.back_is_due():
            self._in_use = 0
        return self._addresses[self._in_use:] + self._addresses[:self._in_use]

    def took(self, address: Address) -> None:
        """Take note that this address is connected."""
        self._in_use = self._addresses.index(address)
        self.stay()

    def failed(self) -> None:
        """Take note that the address in use does not serve: the next one is tried first."""
        self._in_use = (self._in_use + 1) % len(self._addresses)
        self.stay()

    def back_is_due(self) -> bool:
        """Return whether it is time to try the first address again."""
        return self._in_use > 0 and self._clock.monotonic_ns() >= self._back_at_ns

    def first(self) -> Address:
        """Return the address that is to be used where it serves."""
        return self._addresses[0]

    def stay(self) -> None:
        """Put the next attempt with the first address off."""
        self._back_at_ns = self._clock.monotonic_ns() + BACK_AFTER_NS

    def notes(self) -> tuple[str, ...]:
        """Return a sentence where another address than the first is used."""
        if not self._in_use:
            return ()
        host, port = self._addresses[self._in_use]
        first, first_port = self._addresses[0]
        return (f"uses the backup {host}:{port}, because {first}:{first_port} failed",)
