"""Errors as RFC 9457 problem details: one media type and one shape for everything that goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from agent.api.refusals import reason
from agent.store.codec import dumps
from agent.store.journal import StoreError

MEDIA_TYPE = "application/problem+json"


class InvalidInput(BaseModel):
    """One thing in a request that was refused."""

    location: str = Field(description='where: "body.by", "query.limit"')
    message: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "detail": 'there is no alert "pump-99"; GET /api/v1/alerts lists them',
                    "instance": "/api/v1/alerts/pump-99",
                }
            ]
        }
    )

    type: str = Field(default="about:blank", description="a URI for the kind of problem")
    title: str = Field(description="the HTTP status in words")
    status: int
    detail: str = Field(description="what happened, to which thing, and what to do")
    instance: str = Field(description="the path that was asked for")
    errors: list[InvalidInput] = Field(default=[], description="what was refused in the request (422 only)")


class ApiError(Exception):
    """Something to tell the client as a problem; `headers` go with it."""

    def __init__(self, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}


def response(
    status: HTTPStatus,
    detail: str,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    errors: Sequence[InvalidInput] = (),
) -> Response:
    """Return a problem as a response."""
    problem = Problem(
        title=status.phrase, status=status.value, detail=detail, instance=path, errors=list(errors)
    )
    body = problem.model_dump(mode="json", exclude=None if errors else {"errors"})
    return Response(dumps(body), status.value, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem, those of the framework included."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StoreError, _store_error)
    app.add_exception_handler(Exception, _unexpected)


def describe(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of the problems an operation may answer with."""
    return {status.value: {"model": Problem, "description": status.phrase} for status in statuses}


def as_problem_media_type(schema: dict[str, Any]) -> dict[str, Any]:
    """Correct the media type of the errors in an OpenAPI schema: FastAPI knows one per operation only."""
    for path in schema.get("paths", {}).values():
        for operation in path.values():
            for status, answer in operation.get("responses", {}).items():
                if status >= "400" and "application/json" in answer.get("content", {}):
                    answer["content"] = {MEDIA_TYPE: answer["content"]["application/json"]}
    return schema


def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return response(error.status, error.detail, request.url.path, headers=error.headers)


def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    details = {
        HTTPStatus.NOT_FOUND: f"there is nothing at {request.url.path}; see GET /api/v1/openapi.json",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} is not for {request.url.path}",
    }
    detail = details.get(status, str(error.detail))
    return response(status, detail, request.url.path, headers=dict(error.headers or {}))


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        InvalidInput(location=".".join(map(str, one["loc"])), message=reason(one)) for one in error.errors()
    ]
    detail = "; ".join(f"{one.location}: {one.message}" for one in errors)
    return response(HTTPStatus.UNPROCESSABLE_ENTITY, detail, request.url.path, errors=errors)


def _store_error(request: Request, error: Exception) -> Response:
    return response(
        HTTPStatus.SERVICE_UNAVAILABLE, str(error), request.url.path, headers={"Retry-After": "10"}
    )


def _unexpected(request: Request, _error: Exception) -> Response:
    detail = "the agent failed to answer; its log says why"
    return response(HTTPStatus.INTERNAL_SERVER_ERROR, detail, request.url.path)
