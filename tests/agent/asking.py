"""The API as a test asks it: over ASGI, without a socket."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from agent.api import problems
from agent.api.app import create_app
from tests.agent.plant import Plant

URL = "http://127.0.0.1:8470"


def client(plant: Plant, **options: Any) -> httpx.AsyncClient:
    app = create_app(plant.agent, allowed_hosts=["gateway.example"], links=options.pop("links", None))
    transport = httpx.ASGITransport(app, raise_app_exceptions=options.pop("raise_app_exceptions", True))
    return httpx.AsyncClient(transport=transport, base_url=options.pop("base_url", URL), **options)


def ask(plant: Plant, method: str, path: str, **options: Any) -> httpx.Response:
    async def once() -> httpx.Response:
        async with client(plant) as http:
            return await http.request(method, f"/api/v1{path}", **options)

    return asyncio.run(once())


def problem(response: httpx.Response, status: int) -> problems.Problem:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    found = problems.Problem.model_validate(response.json())
    assert (found.status, found.instance) == (status, response.url.path)
    return found
