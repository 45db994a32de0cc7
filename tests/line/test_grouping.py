"""One incident is one alert at the top of the list: of a group, of a connection, or of a flood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from agent.line import lifecycle
from agent.line.alert import AlarmEvent, AlarmState, Alert
from agent.line.grouping import FLOOD_ALERTS, Belonging, Grouping
from agent.line.verdict import Cause
from tests.agent import samples
from tests.agent.samples import SECOND_NS, START_NS

WINDOW_NS = 600 * SECOND_NS
PLANT = {f"fan{number}": Belonging(None, (f"plc{number}",)) for number in range(20)} | {
    "pump": Belonging("water", ("plc_a",)),
    "press": Belonging("water", ("plc_a", "plc_b")),
    "mill": Belonging("water", ("plc_c",)),
    "oven": Belonging(None, ("plc_b",)),
}


class Plant:
    """What the worker does: revisions go to the grouping, and what it says is done at once."""

    def __init__(self, grouping: Grouping | None = None) -> None:
        self.grouping = grouping or Grouping(PLANT, WINDOW_NS)
        self.alerts: dict[str, Alert] = {}

    def tell(self, alert: Alert, now_ns: int) -> None:
        self.alerts[alert.id] = alert
        for put in self.grouping.note([alert], now_ns):
            grouped = lifecycle.obey(self.alerts[put.command.alert_id], put.command, now_ns)
            assert grouped is not None, "nothing is said that changes nothing"
            assert (grouped.asset, grouped.event) == (put.asset, AlarmEvent.GROUP)
            self.tell(grouped, now_ns)

    def raised(self, asset: str, second: int, cause: Cause = Cause.MACHINE, onset_s: int | None = None) -> None:
        raised_ns = START_NS + second * SECOND_NS
        alert = samples.alert(asset=asset, raised_ns=raised_ns)
        onset_ns = raised_ns if onset_s is None else START_NS + onset_s * SECOND_NS
        self.tell(replace(alert, onset_time_ns=onset_ns, verdict=replace(alert.verdict, cause=cause)), raised_ns)

    def over(self, asset: str, second: int) -> None:
        alert = self.alerts[f"{asset}-1"]
        ended = replace(alert, state=AlarmState.NORMAL, revision=alert.revision + 1, event=AlarmEvent.RETURN)
        self.tell(ended, START_NS + second * SECOND_NS)

    def roots(self) -> dict[str, str | None]:
        return {alert.asset: alert.root for alert in self.alerts.values() if lifecycle.is_open(alert)}


def test_machines_of_a_group_go_under_the_first_whose_onset_is_near() -> None:
    plant = Plant()
    for asset, second, onset_s in (("oven", 0, 0), ("pump", 10, 5), ("mill", 700, 604), ("press", 900, 606)):
        plant.raised(asset, second, onset_s=onset_s)
    assert plant.roots() == {"oven": None, "pump": None, "mill": "pump-1", "press": None}


def test_lost_communication_is_grouped_by_connection_and_with_nothing_else() -> None:
    plant = Plant()
    plant.raised("pump", 0)
    plant.raised("press", 10, Cause.COMMUNICATION)
    plant.raised("oven", 20, Cause.COMMUNICATION)
    plant.raised("mill", 30)
    assert plant.roots() == {"pump": None, "press": None, "oven": "press-1", "mill": "pump-1"}


def test_when_the_root_is_over_the_next_one_takes_its_place_and_nothing_is_hidden() -> None:
    plant = Plant()
    for second, asset in enumerate(("pump", "press", "mill")):
        plant.raised(asset, second)
    assert plant.roots() == {"pump": None, "press": "pump-1", "mill": "pump-1"}
    plant.over("pump", 10)
    assert plant.roots() == {"press": None, "mill": "press-1"}
    plant.over("mill", 20)
    plant.over("press", 30)
    assert plant.roots() == {}


def test_a_flood_becomes_one_root_alert_and_goes_on_under_it() -> None:
    plant = Plant()
    for number in range(FLOOD_ALERTS):
        plant.raised(f"fan{number}", 30 * number)
    assert set(plant.roots().values()) == {None}
    plant.raised("fan10", 400)
    assert plant.roots() == {"fan0": None} | {f"fan{number}": "fan0-1" for number in range(1, 11)}
    for number in range(11, 20):
        plant.raised(f"fan{number}", 400 + number)
    assert set(plant.roots().values()) == {None, "fan0-1"}
    plant.over("fan0", 500)
    assert plant.roots() == {"fan1": None} | {f"fan{number}": "fan1-1" for number in range(2, 20)}


def test_as_many_alerts_over_a_longer_time_are_no_flood() -> None:
    plant = Plant()
    for number in range(20):
        plant.raised(f"fan{number}", 61 * number)
    assert set(plant.roots().values()) == {None}


def test_a_restart_goes_on_with_the_open_alerts() -> None:
    before = Plant()
    before.raised("pump", 0)
    before.raised("press", 1)
    after = Plant(Grouping(PLANT, WINDOW_NS, reversed(before.alerts.values())))
    after.alerts |= before.alerts
    after.raised("mill", 5)
    assert after.roots() == {"pump": None, "press": "pump-1", "mill": "pump-1"}
    after.over("pump", 9)
    assert after.roots() == {"press": None, "mill": "press-1"}


def test_whatever_happens_every_root_is_open_and_under_no_other() -> None:
    seed = 20261129
    print("seed", seed)
    random = np.random.default_rng(seed)
    for _ in range(60):
        plant, second = Plant(), 0
        for _ in range(80):
            second += int(random.integers(0, 90))
            asset = str(random.choice(list(PLANT)))
            if asset in plant.roots():
                plant.over(asset, second)
            elif f"{asset}-1" not in plant.alerts:
                plant.raised(asset, second, Cause.COMMUNICATION if random.random() < 0.3 else Cause.MACHINE)
            check(list(plant.alerts.values()))


def check(alerts: Sequence[Alert]) -> None:
    tops = {alert.id for alert in alerts if lifecycle.is_open(alert) and alert.root is None}
    assert {alert.root for alert in alerts if lifecycle.is_open(alert) and alert.root} <= tops
