"""The scenario and what the simulators say about it fit together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.demo.__main__ import main
from agent.demo.scenario import SCENARIO, SPEED, SPEED_MIN, Phase, Plc, Truth, script_of, time_of_day
from agent.demo.show import STORY_S_MAX
from simulators import faults
from simulators.__main__ import _parser as parser_of_simulators
from simulators.machine import EPOCH_NS
from simulators.plant import MACHINES
from tests.demo.canned import START_NS, TRUTH

ROOT = Path(__file__).resolve().parents[2]


def announced(kind: str = SCENARIO.fault) -> Truth:
    (option,) = [part for part in SCENARIO.fault_option if "@" in part]
    degradation = faults.parse("pump", option.replace(SCENARIO.fault, kind))
    (said,) = faults.ground_truth("pump", [degradation], EPOCH_NS)
    return Truth.model_validate(said)


def test_the_degradation_fails_when_the_scenario_says() -> None:
    truth = announced()
    start_ns = EPOCH_NS + SCENARIO.start_s * 1_000_000_000
    assert truth.onset_ns == start_ns + SCENARIO.onset_s * 1_000_000_000
    assert truth.failure_ns == start_ns + SCENARIO.failure_s * 1_000_000_000


@pytest.mark.parametrize("kind", ["filter_fouling", "bearing_wear"])
def test_the_severity_is_that_of_the_simulator(kind: str) -> None:
    truth = announced(kind)
    degradation = faults.parse("pump", f"{kind}@100:1000")
    for along in (-0.1, 0.0, 0.05, 0.4, 0.93, 1.0, 2.0):
        time_ns = truth.onset_ns + int(along * (truth.failure_ns - truth.onset_ns))
        real = float(degradation.severity(100 + along * 1000))
        assert truth.severity_at(time_ns) == pytest.approx(real, abs=0.03)


def test_the_phases_change_at_the_onset_and_at_the_failure() -> None:
    moments = (TRUTH.onset_ns - 1, TRUTH.onset_ns, TRUTH.failure_ns - 1, TRUTH.failure_ns)
    assert [TRUTH.phase(time_ns) for time_ns in moments] == [
        Phase.HEALTHY, Phase.DEGRADING, Phase.DEGRADING, Phase.FAILED,
    ]  # fmt: skip


def test_the_simulators_understand_what_they_are_told() -> None:
    for machine, protocol in ((SCENARIO.sick, "modbus"), (SCENARIO.healthy, "opcua")):
        taken = parser_of_simulators().parse_args(SCENARIO.command(machine, 60))
        assert taken.command == machine in MACHINES
        assert getattr(taken, protocol) == 0
        assert (taken.seed, taken.start_s, taken.speed) == (SCENARIO.seed, SCENARIO.start_s, 60)
        assert len(taken.fault) == (machine == SCENARIO.sick)


def test_the_script_is_made_of_what_the_plcs_announce() -> None:
    common = f'"epoch_ns": {EPOCH_NS}, "start_ns": {START_NS}, "speed": 60.0'
    pump = Plc.model_validate_json(
        f'{{"name": "pump", "modbus": "127.0.0.1:5", {common}, "faults": [{TRUTH.model_dump_json()}]}}'
    )
    conveyor = Plc.model_validate_json(
        f'{{"name": "conveyor", "opcua": "opc.tcp://127.0.0.1:6", {common}, "faults": []}}'
    )
    assert (pump.where, conveyor.where) == ("Modbus TCP 127.0.0.1:5", "OPC UA opc.tcp://127.0.0.1:6")
    script = script_of(SCENARIO, [conveyor, pump])
    assert (script.sick, script.healthy, script.truth) == ("pump", "conveyor", TRUTH)
    assert script.minute(TRUTH.onset_ns) == 15
    assert time_of_day(START_NS) == "08:00:00"


def test_the_story_ends_within_three_minutes_at_every_speed_allowed() -> None:
    for speed in (SPEED, SPEED_MIN):
        assert SCENARIO.failure_s / speed + 45 < STORY_S_MAX < 175


def test_the_machine_was_not_learnt_from_what_is_played() -> None:
    seed_learnt = re.search(r"simulators history .* --seed (\d+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert seed_learnt is not None
    assert int(seed_learnt[1]) != SCENARIO.seed


@pytest.mark.parametrize("speed", ["49", "301", "nan", "fast"])
def test_a_speed_out_of_bounds_is_refused(speed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--speed", speed])
    assert ended.value.code == 2
    assert f"'{speed}' does not lie between 50" in capsys.readouterr().err
