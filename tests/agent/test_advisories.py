"""What to check first is data: shipped for each cause and kind of machine, a site's own before it, checked at load."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.config.advisories import SHIPPED, rules_of
from agent.config.base import ConfigError
from agent.config.file import Config
from agent.line.advisory import Advisory, Rule, advisory_of
from agent.line.verdict import Cause, Contribution
from models.degradations import FAULTS
from simulators.plant import MACHINES
from tests.agent import samples

OWN = """
machine_type = "pump"

[[advisories]]
cause = "machine"
tags = ["PRESS"]
faults = ["ramp", "bias"]
failure_mode = "INL, internal leakage"
mechanism = "1.1 leakage"
checks = [{ do = "Close valve V7.", why = "It has leaked before." }]
"""


def config(folder: Path, *, machine_type: str = "pump", own: bool = True) -> Config:
    said = f'machine_type = "{machine_type}"\nbudget = '
    text = samples.CONFIG.replace("budget = ", said, 1).replace('name = "temperature"', 'name = "seal_pressure"')
    if own:
        text = text.replace("[agent]", '[agent]\nadvisories = "ours"', 1)
    return Config.parse(text, folder / "agent.toml")


def rules(folder: Path, *, machine_type: str = "pump", own: bool = True) -> tuple[Rule, ...]:
    return rules_of(config(folder, machine_type=machine_type, own=own))["pump"]


def ours(folder: Path, *texts: str) -> None:
    (folder / "ours").mkdir()
    for number, text in enumerate(texts):
        (folder / "ours" / f"{number}.toml").write_text(text, encoding="utf-8")


def of(rules: tuple[Rule, ...], cause: Cause, fault: str, tag: str = "pressure") -> Advisory:
    verdict = replace(
        samples.verdict(),
        cause=cause,
        fault_probabilities=((fault, 0.6),),
        contributions=(Contribution(tag, "bar", 0.8, 11.1, 9.3),),
    )
    found = advisory_of(rules, verdict)
    assert found is not None
    return found


@pytest.mark.parametrize("machine_type", ["generic", *MACHINES])
def test_every_cause_and_fault_of_every_tag_has_an_advisory(tmp_path: Path, machine_type: str) -> None:
    read = rules(tmp_path, machine_type=machine_type, own=False)
    tags = [tag.name for machine in MACHINES.values() for tag in machine.tags]
    for cause in Cause:
        for fault in FAULTS[1:]:
            for tag in (*tags, "t_17"):
                said = of(read, cause, fault, tag)
                assert said.machine_type in (machine_type, "generic")
                assert len(said.checks) >= 2


def test_a_stuck_sensor_a_loose_contact_and_a_drift_are_checked_differently(tmp_path: Path) -> None:
    read = rules(tmp_path, own=False)
    said = [of(read, Cause.SENSOR, fault) for fault in ("stuck", "intermittent", "ramp")]
    assert len({one.mechanism for one in said}) == 3


def test_a_kind_of_machine_is_asked_before_the_generic_one(tmp_path: Path) -> None:
    pump, any_machine = (rules(tmp_path, machine_type=one, own=False) for one in ("pump", "generic"))
    assert of(pump, Cause.MACHINE, "ramp", "seal_pressure").machine_type == "pump"
    assert of(any_machine, Cause.MACHINE, "ramp", "seal_pressure").machine_type == "generic"
    assert of(pump, Cause.COMMUNICATION, "ramp").machine_type == "generic"


def test_a_site_s_own_come_first_where_they_fit(tmp_path: Path) -> None:
    ours(tmp_path, OWN)
    read = rules(tmp_path)
    assert of(read, Cause.MACHINE, "ramp").checks[0].do == "Close valve V7."
    for cause, fault, tag in (
        (Cause.SENSOR, "ramp", "pressure"), (Cause.MACHINE, "noise", "pressure"), (Cause.MACHINE, "ramp", "flow")
    ):
        assert of(read, cause, fault, tag).checks[0].do != "Close valve V7."


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    ours(
        tmp_path,
        OWN.replace("ramp", "rampe").replace("INL, internal leakage", "leaks").replace("why", "because"),
        OWN.replace('"machine"', '"gremlins"').replace("1.1 leakage", "leakage"),
        "machine_type = ",
        'machine_type = "pump"',
    )
    with pytest.raises(ConfigError) as refused:
        rules_of(config(tmp_path))
    told = "\n".join(refused.value.problems)
    for problem in (
        '0.toml: advisories[0].faults: "rampe" is no fault type; did you mean "ramp"?',
        "0.toml: advisories[0].failure_mode: got 'leaks'; allowed: of ISO 14224, such as \"VIB, vibration\"",
        "0.toml: advisories[0].checks[0].why: missing; needed: why that is worth it",
        "0.toml: advisories[0].checks[0].because: unknown key; allowed: do, why",
        "1.toml: advisories[0].cause: got 'gremlins'",
        "1.toml: advisories[0].mechanism: got 'leakage'",
        "2.toml: cannot be read:",
        "3.toml: advisories: missing; needed: at least one table [[advisories]]",
    ):
        assert problem in told
    assert len(refused.value.problems) == 8


def test_a_kind_of_machine_that_nobody_knows_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'assets\.pump\.machine_type: .* "pomp"; did you mean "pump"'):
        rules_of(config(tmp_path, machine_type="pomp", own=False))
    (tmp_path / "ours").mkdir()
    with pytest.raises(ConfigError, match=r"agent\.advisories: .*ours has no \*\.toml"):
        rules_of(config(tmp_path))


def test_the_shipped_ones_are_for_the_machines_that_are_simulated() -> None:
    assert {path.stem for path in SHIPPED.glob("*.toml")} == {"generic", *MACHINES}
