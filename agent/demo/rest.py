"""The agent as anyone sees it: over its REST API, by urllib, in the bodies that the API declares."""

from __future__ import annotations

import asyncio
import urllib.error
from http import HTTPStatus
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from agent.api.connection_models import ConnectionList
from agent.api.models import AlertPage, AssetDetail, Ready
from agent.demo.scenario import DemoError
from agent.loopback import opener_for

PREFIX: Final = "/api/v1"
TIMEOUT_S: Final = 5.0
BYTES_MAX: Final = 4_000_000

Body = TypeVar("Body", bound=BaseModel)


class RestError(DemoError):
    """The agent did not give what was asked for; `status` is that of its answer, None without one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Problem(BaseModel):
    """What the agent answers where it cannot do what was asked (RFC 9457)."""

    detail: str


class Rest:
    """Asks a running agent. Every method raises RestError where there is no answer, or a wrong one."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}{PREFIX}"
        self._opener = opener_for(url)

    async def not_ready(self) -> str:
        """Return why the agent is not ready yet, "" where it is."""
        try:
            await self._get("/readiness", Ready)
        except RestError as error:
            if error.status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            return str(error)
        return ""

    async def asset(self, name: str) -> AssetDetail:
        """Return one asset with its verdict, its open alert and its readings."""
        return await self._get(f"/assets/{name}", AssetDetail)

    async def connections(self) -> ConnectionList:
        """Return how the connections are."""
        return await self._get("/connections", ConnectionList)

    async def alerts(self) -> AlertPage:
        """Return all alerts there can be in a demonstration, the newest first."""
        return await self._get("/alerts?limit=500", AlertPage)

    async def _get(self, path: str, kind: type[Body]) -> Body:
        return await asyncio.to_thread(self._get_now, path, kind)

    def _get_now(self, path: str, kind: type[Body]) -> Body:
        try:
            with self._opener.open(f"{self.url}{path}", timeout=TIMEOUT_S) as answer:
                return kind.model_validate_json(answer.read(BYTES_MAX))
        except urllib.error.HTTPError as error:
            with error:
                raise RestError(_detail(error), error.code) from error
        except (OSError, ValidationError) as error:
            raise RestError(f"The agent did not answer GET {path} as it should: {error}") from error


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return Problem.model_validate_json(error.read(BYTES_MAX)).detail
    except (OSError, ValidationError):
        return str(error)
