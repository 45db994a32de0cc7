"""A fault that was labelled on one simulated machine is known on another one of its make, and no other fault is."""

from __future__ import annotations

from dataclasses import replace

from agent.line.alert import Alert, Answer, GiveLabel, Label
from agent.line.event import AssetEvent, EventKind
from agent.line.line import Line
from agent.store import codec
from connectors.frame import Frame
from models import bundle
from models.runtime import Detector
from simulators.faults import DAY_S, HOUR_S, Degradation, degradation
from simulators.machine import EPOCH_NS
from simulators.plant import Plant
from tests.simulation.test_simulation import BUNDLES, a_line, watch

SEEDS = 941, 942
KINDS = ("cavitation", "filter_fouling", "seal_leak", "stuck_sensor")


def first_alert(line: Line, seed: int, failing: Degradation) -> Alert:
    """Let a machine fail until something is raised."""
    plant, start_s = Plant("pump", seed, (failing,)), int(failing.onset_s) // DAY_S * DAY_S
    while start_s < failing.failure_s:
        if alerts := watch(line, plant, start_s, start_s + HOUR_S):
            return alerts[0]
        start_s += HOUR_S
    raise AssertionError(f"seed {seed}: the {failing.kind} was never announced")


def say(line: Line, alert: Alert, answer: Answer, fault: str | None = None) -> None:
    """Give a line a label of an alert of another machine."""
    alert = replace(alert, id=f"sister-{fault or answer}", asset="sister")
    label = Label(answer, fault, "ada", alert.updated_time_ns)
    assert line.submit(GiveLabel(alert.id, label, alert))
    line.step(Frame.empty(len(line.tags)), alert.updated_time_ns)


def test_a_fault_labelled_on_one_machine_is_named_on_another_at_another_time() -> None:
    detector = Detector(bundle.load(BUNDLES / "pump"))
    found = {kind: first_alert(a_line(detector), SEEDS[0], degradation("pump", kind, 1.1 * DAY_S)) for kind in KINDS}
    named = {}
    for kind in KINDS:
        line = a_line(detector)
        for label, alert in found.items():
            say(line, alert, Answer.REAL, label)
        like = first_alert(line, SEEDS[1], degradation("pump", kind, 3.4 * DAY_S)).like
        named[kind] = like and like.name
    assert all(name in (None, kind) for kind, name in named.items()), f"seeds {SEEDS}: {named}"
    assert sum(name is not None for name in named.values()) >= 3, f"seeds {SEEDS}: {named}"


def test_what_is_labelled_normal_is_silent_until_it_grows_and_another_fault_is_raised() -> None:
    detector, seed = Detector(bundle.load(BUNDLES / "pump")), SEEDS[0]
    fouling = degradation("pump", "filter_fouling", 1.1 * DAY_S)
    normal = first_alert(a_line(detector), seed, fouling)
    line = a_line(detector)
    say(line, normal, Answer.NORMAL)
    entries = watch(line, Plant("pump", seed, (fouling,)), DAY_S, int(fouling.failure_s))
    known, raised = entries[0], next(entry for entry in entries if isinstance(entry, Alert))
    assert isinstance(known, AssetEvent)
    assert (known.kind, known.about) == (EventKind.KNOWN_PATTERN, "sister-normal")
    assert abs(known.since_ns - normal.raised_time_ns) < HOUR_S * 1_000_000_000
    assert raised.raised_time_ns > known.since_ns
    assert raised.like is not None
    assert raised.like.name == "normal"
    again = a_line(detector)
    say(again, normal, Answer.NORMAL)
    between_s = int((known.since_ns + raised.raised_time_ns) // 2 - EPOCH_NS) // 1_000_000_000 // HOUR_S * HOUR_S
    told = watch(again, Plant("pump", seed, (fouling,)), DAY_S, between_s)
    again = Line.resume("machine", detector, again.state())
    told += watch(again, Plant("pump", seed, (fouling,)), between_s, int(fouling.failure_s))
    assert list(map(codec.encode, told)) == list(map(codec.encode, entries)), "a line that goes on from a state"
    other = a_line(detector)
    say(other, normal, Answer.NORMAL)
    leak = first_alert(other, seed, degradation("pump", "seal_leak", 1.1 * DAY_S))
    assert isinstance(leak, Alert)
