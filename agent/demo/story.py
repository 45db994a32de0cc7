"""What has happened so far: from one look at the agent to the next, the events that a person should hear of."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent.api.connection_models import ConnectionModel
from agent.api.models import AlertModel, AssetDetail
from agent.demo.scenario import Phase, Script, api_time
from agent.line.alert import AlarmState
from agent.line.verdict import Condition
from agent.store.codec import parse_time

EVENTS_KEPT: Final = 100

MEANINGS: Final[Mapping[Condition, str]] = {
    Condition.NORMAL: "as learnt",
    Condition.DEVIATING: "the evidence is above the limit",
    Condition.SETTLING: "it was just switched; start-ups and stops are not judged",
    Condition.UNSEEN_REGIME: "it is run in a way that was not learnt",
    Condition.BLIND: "too few values can be read",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """One look at everything, at a simulated time."""

    time_ns: int
    assets: Mapping[str, AssetDetail]
    connections: tuple[ConnectionModel, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at a simulated time; `alarming` where a person should look up."""

    time_ns: int
    text: str
    alarming: bool = False


class Story:
    """Follows the agent from moment to moment.

    An asset on OPC UA has the plant's own times, one on Modbus those of the agent's clock, which runs as fast but
    shows another time: how far it is ahead is learnt from the verdicts, the least late of which is the best.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._phase = Phase.HEALTHY
        self._conditions: dict[str, Condition] = {}
        self._alerts: dict[str, AlertModel] = {}
        self._ahead_ns: dict[str, int] = {}

    def see(self, moment: Moment) -> list[Event]:
        """Take the next moment in and return what is new."""
        new = self._script_events(moment)
        for name, asset in moment.assets.items():
            if asset.verdict is not None:
                ahead_ns = parse_time(asset.verdict.time) - moment.time_ns
                self._ahead_ns[name] = max(ahead_ns, self._ahead_ns.get(name, ahead_ns))
            new += self._asset_events(name, asset, moment.time_ns)
        self.events += new
        return new

    def raised_ns(self, alert: AlertModel) -> int:
        """Return the simulated time at which an alert was raised, exact to some simulated seconds."""
        return parse_time(alert.raised_time) - self._ahead_ns.get(alert.asset, 0)

    def _script_events(self, moment: Moment) -> list[Event]:
        """Tell of the phases that were entered, at the times they really were."""
        truth, new = self.script.truth, []
        phase = truth.phase(moment.time_ns)
        if self._phase is Phase.HEALTHY and phase is not Phase.HEALTHY:
            said = f"{truth.kind} begins in the {self.script.sick}; nobody has told the agent"
            new.append(Event(truth.onset_ns, said))
        if self._phase is not Phase.FAILED and phase is Phase.FAILED:
            new.append(Event(truth.failure_ns, f"the {self.script.sick} fails", alarming=True))
        self._phase = phase
        return new

    def _asset_events(self, name: str, asset: AssetDetail, now_ns: int) -> list[Event]:
        new = []
        if asset.verdict is not None and asset.verdict.condition is not self._conditions.get(name):
            self._conditions[name] = asset.verdict.condition
            condition = self._conditions[name]
            new.append(Event(now_ns, f"{name}: {in_words(condition)} ({MEANINGS[condition]})"))
        if asset.alert is not None:
            new += self._alert_events(asset.alert, now_ns)
        return new

    def _alert_events(self, alert: AlertModel, now_ns: int) -> list[Event]:
        before = self._alerts.get(alert.id)
        self._alerts[alert.id] = alert
        if before is None:
            dated = f"in the API raised {api_time(alert.raised_time)}"
            said = f"ALERT {alert.id}, priority {alert.priority.value}, {dated}: {alert.message}"
            return [Event(min(self.raised_ns(alert), now_ns), said, alarming=True)]
        if before.state is not alert.state:
            return [Event(now_ns, f"{alert.id}: {in_words(alert.state)}")]
        return []


def in_words(state: Condition | AlarmState) -> str:
    """Return a state as a person says it."""
    return state.value.replace("_", " ")
