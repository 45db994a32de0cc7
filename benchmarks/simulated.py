"""The shipped bundles watch other simulated machines of the same make: failing ones of every kind, and healthy ones."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from agent.line.verdict import Verdict
from benchmarks.child import ONE_THREAD
from benchmarks.fault_names import cause_is_right, shape_is_right, tag_is_right, type_is_right
from benchmarks.methods import METHODS, OURS, chosen
from benchmarks.options import Options
from benchmarks.result import BenchmarkError, Figure, Result, Target, mean_over_seeds
from benchmarks.simulated_case import WEEK_S, Case, Outcome, play
from simulators.faults import EFFECTS, Cause, Degradation

Check = Callable[[str, Degradation, Verdict], bool]

SEEDS: Final = 20
SEED_FIRST: Final = 1001
"""The machines' seeds begin here, far from those on which anything was learnt or chosen."""
PEERS: Final = ("PCA-Q", "Mahalanobis", "EWMA-Mahalanobis", "IForest")
"""Those that judge some twenty million rows in minutes; another can be named, and takes its time."""

ALL: Final = "all machines"
FOUND: Final = "alerted before the failure"
LEAD: Final = "median lead, of the degradation"
FALSE: Final = "false alerts per asset-week"
TYPE: Final = "fault type right"
TARGETS: Final = {
    (ALL, FOUND): Target(100),
    (ALL, LEAD): Target(50),
    (ALL, FALSE): Target(1, at_least=False),
    (ALL, TYPE): Target(90),
}


def run(options: Options) -> Iterator[Result]:
    """Play every degradation and a healthy week on a machine of each make for each seed; `limit` plays the first."""
    without_named = [name for name in METHODS if not METHODS[name].needs or name in PEERS]
    methods = tuple(chosen(options.methods or without_named))
    cases = cases_of(options.subsets or tuple(EFFECTS), options.seeds)[: options.limit]
    outcomes: list[Outcome] = []
    for number, (case, found) in enumerate(zip(cases, _played(cases, methods), strict=True)):
        outcomes += found
        options.progress(f"{case.machine} {case.kind or 'healthy'}, seed {case.seed}", (number + 1) / len(cases))
    for name in methods:
        figures = measure([outcome for outcome in outcomes if outcome.method == name])
        for result in mean_over_seeds("simulated", name, [figures], TARGETS if name == OURS else {}):
            yield replace(result, seeds=options.seeds)


def cases_of(machines: Sequence[str], seeds: int) -> list[Case]:
    """Return the cases seed by seed, in each machine by machine; raise BenchmarkError for one that is not known."""
    if unknown := [name for name in machines if name not in EFFECTS]:
        raise BenchmarkError(f"no machine {', '.join(unknown)}; there are: {', '.join(EFFECTS)}")
    return [
        Case(machine, kind, SEED_FIRST + number)
        for number in range(seeds) for machine in machines for kind in (*EFFECTS[machine], None)
    ]


def _played(cases: Sequence[Case], methods: Sequence[str]) -> Iterator[list[Outcome]]:
    """Yield the outcomes of each case, in order, from a process for each core."""
    processes = min(os.cpu_count() or 1, len(cases))
    with (
        environment(ONE_THREAD),
        ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool,
    ):
        yield from pool.map(partial(play, methods=methods), cases)


@contextmanager
def environment(changes: dict[str, str]) -> Iterator[None]:
    """Change the environment that started processes inherit, for a while."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def measure(outcomes: Sequence[Outcome]) -> list[Figure]:
    """Return the figures of one method over all machines, each machine and, of ours, each kind of degradation."""
    failures = sum(outcome.case.kind is not None for outcome in outcomes)
    figures = [*_measured(ALL, outcomes), Figure(ALL, "failures played", failures, "")]
    for machine in EFFECTS:
        of_machine = [outcome for outcome in outcomes if outcome.case.machine == machine]
        if not of_machine:
            continue
        figures += _measured(machine, of_machine)
        for kind in EFFECTS[machine]:
            of_kind = [outcome for outcome in of_machine if outcome.case.kind == kind]
            if of_kind and of_kind[0].method == OURS:
                figures += [*_found(f"{machine}: {kind}", of_kind), *_named(f"{machine}: {kind}", of_kind)]
    return figures


def _measured(case: str, outcomes: Sequence[Outcome]) -> list[Figure]:
    failing = [outcome for outcome in outcomes if outcome.case.kind is not None]
    figures = [*_found(case, failing), *_false(case, outcomes)]
    if outcomes[0].method != OURS:
        return figures
    return [*figures, *_named(case, failing), *_named_by_cause(case, failing)]


def _found(case: str, outcomes: Sequence[Outcome]) -> list[Figure]:
    """Return what was found and how early; what was not found has no lead."""
    leads = [outcome.lead if outcome.found else 0.0 for outcome in outcomes]
    return [
        Figure(case, FOUND, _percent([outcome.found for outcome in outcomes]), "%"),
        Figure(case, LEAD, 100 * float(np.median(leads)) if leads else float("nan"), "%"),
    ]


def _false(case: str, outcomes: Sequence[Outcome]) -> list[Figure]:
    """Return the alerts in healthy weeks and in the hours before each onset, per week of either."""
    weeks = sum(outcome.healthy_s for outcome in outcomes) / WEEK_S
    return [Figure(case, FALSE, sum(outcome.false_alerts for outcome in outcomes) / weeks, "")]


def _named(case: str, outcomes: Sequence[Outcome]) -> list[Figure]:
    """Return what the alerts say: of those that were raised, which have it right."""
    shares = {
        "cause right": _right(outcomes, cause_is_right),
        "a tag it moves among the first 3": _right(outcomes, tag_is_right),
        "shape right": _right(outcomes, shape_is_right),
        TYPE: _right(outcomes, type_is_right),
        f"{TYPE} an hour later": _right(outcomes, type_is_right, later=True),
    }
    return [Figure(case, metric, share, "%") for metric, share in shares.items()]


def _named_by_cause(case: str, outcomes: Sequence[Outcome]) -> list[Figure]:
    """Return the same of the faults of sensors and of those of the machine."""
    figures = []
    for cause in Cause:
        of_cause = [
            outcome for outcome in outcomes
            if EFFECTS[outcome.case.machine][str(outcome.case.kind)].cause is cause
        ]
        figures += _named(f"{case}, {cause.value} faults", of_cause)
    return figures


def _right(outcomes: Sequence[Outcome], check: Check, *, later: bool = False) -> float:
    """Return the share of the alerts that a check finds right, %."""
    rights = []
    for outcome in outcomes:
        said, failing = outcome.later if later else outcome.raised, outcome.case.failing
        if said is not None and failing is not None:
            rights.append(check(outcome.case.machine, failing, said))
    return _percent(rights)


def _percent(rights: Sequence[bool]) -> float:
    return 100 * float(np.mean(rights)) if rights else float("nan")
