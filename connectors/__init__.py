"""From wire to Frame: what every connector offers, and the one error it raises."""

from __future__ import annotations

from typing import Protocol

from connectors.frame import Frame, Tag


class ConnectorError(Exception):
    """A connection could not be opened or read; `retryable` says whether trying again can help.

    `unreachable`: nothing came back at all, so that the device has no part in it and another attempt costs it nothing.
    """

    def __init__(self, message: str, *, retryable: bool = True, unreachable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.unreachable = unreachable


class Connector(Protocol):
    """A read-only road from one PLC to frames. There is no write method, by design."""

    tags: tuple[Tag, ...]

    async def open(self) -> None:
        """Connect; raise ConnectorError where that fails."""

    async def read(self) -> Frame:
        """Return what is new since the last call, columns in the order of `tags`; a failed tag is a status.

        Raise ConnectorError where the connection is lost.
        """

    async def close(self) -> None:
        """Let go of the connection; never raises, may be called twice."""
