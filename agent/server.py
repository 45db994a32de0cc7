"""The HTTP server in the daemon's event loop: uvicorn on a socket of ours, without its signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:  # heavy, and only named here
    from fastapi import FastAPI

CONNECTIONS_MAX = 128
SHUTDOWN_S_MAX = 3


class ServerError(Exception):
    """The API cannot listen: where, why, and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """Bind and return a socket (port 0: any free one); raise ServerError where that fails."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ServerError(
            f"the API cannot listen on {host} port {port}: {error.strerror}; "
            "set api.host and api.port to an address that is free"
        ) from error
    return listener


class ApiServer(uvicorn.Server):
    """Serves until `should_exit` is set; `up` is set once it does, `url` is where."""

    def __init__(self, app: FastAPI, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self.up = asyncio.Event()
        self._listener = listener
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                ws="none",
                limit_concurrency=CONNECTIONS_MAX,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=SHUTDOWN_S_MAX,
            )
        )

    async def run_here(self) -> None:
        """Serve on the socket until `should_exit`."""
        await self.serve(sockets=[self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve (called by uvicorn)."""
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the daemon (uvicorn would take them over)."""
        yield
