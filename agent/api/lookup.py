"""What a request names: an asset or an alert, or a problem that says which there are."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import Path

from agent.api import PREFIX
from agent.api.problems import ApiError
from agent.line.alert import Alert
from agent.view import AgentView, AssetInfo

AssetName = Annotated[str, Path(description="the asset's name in the configuration")]
AlertId = Annotated[str, Path(description='such as "pump-3"')]


def find_asset(view: AgentView, asset: str) -> AssetInfo:
    """Return a configured asset; raise ApiError where there is none of that name."""
    for info in view.assets:
        if info.name == asset:
            return info
    names = ", ".join(info.name for info in view.assets)
    raise ApiError(HTTPStatus.NOT_FOUND, f'there is no asset "{asset}"; there are: {names}')


def find_alert(view: AgentView, alert_id: str) -> Alert:
    """Return an alert as it stands; raise ApiError where there is none; StoreError."""
    alert = view.alert(alert_id)
    if alert is None:
        raise ApiError(
            HTTPStatus.NOT_FOUND, f'there is no alert "{alert_id}"; GET {PREFIX}/alerts lists them'
        )
    return alert
