"""Alerts and events as people see them over the API, and how an alert comes and goes."""

from __future__ import annotations

from typing import Any

from tests.end_to_end.place import Place
from tests.end_to_end.site import Site


async def states(plant: Place) -> list[tuple[str, str, str | None]]:
    """The id, the state and the root of each alert, the oldest first."""
    items = (await plant.get("/alerts"))["items"]
    return [(one["id"], one["state"], one["root"]) for one in reversed(items)]


async def revisions(plant: Place, alert_id: str = "pump-1") -> list[dict[str, Any]]:
    """The history of an alert."""
    return list((await plant.get(f"/alerts/{alert_id}/history"))["items"])


async def kinds(plant: Place) -> list[tuple[str, str | None]]:
    """What happened to the pump, and by whom, the oldest first."""
    return [(one["kind"], one["by"]) for one in reversed((await plant.get("/events", asset="pump"))["items"])]


async def deviates(plant: Site, asset: str, pressure: float = 0.0, temperature: float = 0.0) -> None:
    """A machine deviates for a minute, somebody takes on what is raised, and all is well again for two."""
    plant.off = {asset: (pressure, temperature)}
    await plant.play(60)
    alert = (await plant.get(f"/assets/{asset}"))["alert"]
    if alert is not None:
        await plant.say(f"/alerts/{alert['id']}/acknowledge", by="Ana")
    plant.off = {}
    await plant.play(120)
