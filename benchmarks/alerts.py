"""A simulated year of a plant of twelve machines, watched by the agent's line: what a technician gets to see."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product, repeat
from typing import Final

import numpy as np

from agent.line import verdict
from benchmarks.child import ONE_THREAD
from benchmarks.fault_names import cause_is_right, tag_is_right, type_is_right
from benchmarks.kept import Origin, Shelf
from benchmarks.methods import OURS
from benchmarks.options import Options
from benchmarks.plant_year import BUDGETS_PER_WEEK, EACH, YEAR_DAYS, Asset
from benchmarks.plant_year_case import AssetYear, Raised, play
from benchmarks.recognition import RECOGNISED, recognition
from benchmarks.result import BenchmarkError, Figure, Result, Target, mean_over_seeds
from benchmarks.simulated import environment
from benchmarks.simulated_case import WEEK_S
from simulators.faults import EFFECTS, Cause, effect

SEEDS: Final = 20
SEED_FIRST: Final = 1001
ASSETS: Final = EACH * len(EFFECTS)

COMMUNICATION: Final = verdict.Cause.COMMUNICATION

ALL: Final = "all machines"
FOUND: Final = "alerted before the failure"
LEAD: Final = "median lead, of the degradation"
ALERTS: Final = "alerts per true fault"
CAUSE: Final = "cause class right"
SEEN: Final = "cause class right when people look"
TYPE: Final = "fault type right"
TAG: Final = "a tag it moves among the first 3"
MISTAKEN: Final = "sensor or communication faults reported as the machine's"
LIFE: Final = "remaining life, 90 % interval holds the truth"
CPU: Final = "CPU time of a plant's year"
FEW: Final = "false alerts per asset-week at least"
MANY: Final = "false alerts per asset-week"
STRICT: Final = f"false alerts per asset-week at budget {BUDGETS_PER_WEEK[1]}"
LIFE_MOST: Final = f"{LIFE}, at most"

TARGETS: Final = {
    (ALL, FOUND): Target(98),
    (ALL, LEAD): Target(50),
    (ALL, FEW): Target(0.3),
    (ALL, MANY): Target(1.2, at_least=False),
    (ALL, STRICT): Target(0.2, at_least=False),
    (ALL, ALERTS): Target(1.3, at_least=False),
    (ALL, CAUSE): Target(95),
    (ALL, TYPE): Target(85),
    (ALL, TAG): Target(95),
    (ALL, MISTAKEN): Target(2, at_least=False),
    (ALL, RECOGNISED): Target(90),
    (ALL, LIFE): Target(85),
    (ALL, LIFE_MOST): Target(95, at_least=False),
    (ALL, CPU): Target(10, at_least=False),
}
"""What has a lower and an upper bound stands twice."""


def run(options: Options) -> Iterator[Result]:
    """Play a year of a plant for each seed: `count` days of it, of the machines in `subsets`, the first `limit`.

    Each machine's year is kept in the folder `keep` once it is played, and what is there already is not played again.
    """
    assets = assets_of(options)
    shelf = None if options.keep is None else Shelf(options.keep, Origin.here())
    years = {} if shelf is None else shelf.read(assets)
    for asset, played in _played([asset for asset in assets if asset not in years]):
        if shelf is not None:
            shelf.keep(asset, played)
        years[asset] = played
        options.progress(f"{asset.name}, seed {asset.seed}", len(years) / len(assets))
    figures = measure([year for asset in assets for year in years[asset]])
    for result in mean_over_seeds("alerts", OURS, [figures], TARGETS):
        yield replace(result, seeds=options.seeds)


def _played(assets: Sequence[Asset]) -> Iterator[tuple[Asset, tuple[AssetYear, ...]]]:
    """Yield the year of each machine, in order, from a process for each core."""
    if not assets:
        return
    with (
        environment(ONE_THREAD),
        ProcessPoolExecutor(min(os.cpu_count() or 1, len(assets)), multiprocessing.get_context("spawn")) as pool,
    ):
        yield from zip(assets, pool.map(play, assets, repeat(BUDGETS_PER_WEEK)), strict=True)


def assets_of(options: Options) -> list[Asset]:
    """Return the machines to watch, seed by seed; raise BenchmarkError for a machine that is not known."""
    if unknown := [name for name in options.subsets if name not in EFFECTS]:
        raise BenchmarkError(f"no machine {', '.join(unknown)}; there are: {', '.join(EFFECTS)}")
    assets = [
        Asset(SEED_FIRST + seed, number, options.count or YEAR_DAYS)
        for seed, number in product(range(options.seeds), range(ASSETS))
    ]
    chosen = [asset for asset in assets if asset.machine in (options.subsets or EFFECTS)]
    return chosen[: options.limit]


def measure(years: Sequence[AssetYear]) -> list[Figure]:
    """Return the figures of all machines and of each make; those of the first budget but for false alerts at others."""
    figures = []
    for case in (ALL, *EFFECTS):
        of_case = [year for year in years if case in (ALL, year.asset.machine)]
        usual, strict = ([year for year in of_case if year.budget_per_week == budget] for budget in BUDGETS_PER_WEEK)
        if usual:
            figures += _measured(case, usual)
            figures.append(Figure(case, STRICT, _false_per_week(strict), ""))
    return figures


def _measured(case: str, years: Sequence[AssetYear]) -> list[Figure]:
    faults = [(year.asset.machine, fault) for year in years for fault in year.faults]
    found = [fault for _, fault in faults if fault.first is not None]
    raised = [max(sum(not each.worse for each in fault.raised), 1) for fault in found]
    worse = [sum(each.worse for each in fault.raised) for fault in found]
    false = _false_per_week(years)
    return [
        Figure(case, FOUND, _percent([fault.first is not None for _, fault in faults]), "%"),
        Figure(case, LEAD, 100 * float(np.median([fault.lead for _, fault in faults])) if faults else np.nan, "%"),
        Figure(case, FEW, false, ""),
        Figure(case, MANY, false, ""),
        Figure(case, ALERTS, float(np.mean(raised)) if raised else np.nan, ""),
        Figure(case, "raised again as worse, per fault", float(np.mean(worse)) if worse else np.nan, ""),
        *_named(case, years),
        *recognition(case, years),
        *_lives(case, years),
        Figure(case, "faults played", len(faults), ""),
        Figure(case, "faults of the wire played", sum(year.wire_faults for year in years), ""),
        Figure(case, "alerts raised by them", len(_of_wire(years)), ""),
        Figure(case, "healthy weeks", sum(year.healthy_s for year in years) / WEEK_S, ""),
        *_cpu(case, years),
    ]


def _named(case: str, years: Sequence[AssetYear]) -> list[Figure]:
    """Return what the first alert of each fault says, and of the cause also what a failing wire raised."""
    firsts = [
        (year.asset.machine, fault.fault.degradation, fault.first)
        for year in years for fault in year.faults if fault.first is not None
    ]
    said = [(machine, failing, first.verdict) for machine, failing, first in firsts]
    seen = [cause_is_right(machine, failing, first.seen) for machine, failing, first in firsts]
    of_wire = [each.verdict.cause for each in _of_wire(years)]
    of_sensors = [told.cause for machine, failing, told in said if effect(machine, failing).cause is Cause.SENSOR]
    rights = {
        CAUSE: [*(cause_is_right(*each) for each in said), *(cause is COMMUNICATION for cause in of_wire)],
        SEEN: [*seen, *(each.seen.cause is COMMUNICATION for each in _of_wire(years))],
        TYPE: [type_is_right(*each) for each in said],
        TAG: [tag_is_right(*each) for each in said],
        MISTAKEN: [cause is verdict.Cause.MACHINE for cause in (*of_sensors, *of_wire)],
    }
    return [Figure(case, metric, _percent(right), "%") for metric, right in rights.items()]


def _lives(case: str, years: Sequence[AssetYear]) -> list[Figure]:
    """Return how many of the remaining lives that were told, one a round, hold what they speak of."""
    told = [life.holds(each.twice_s, each.repaired_s) for year in years for each in year.faults for life in each.lives]
    held = [right for right in told if right is not None]
    return [
        Figure(case, LIFE, _percent(held), "%"),
        Figure(case, LIFE_MOST, _percent(held), "%"),
        Figure(case, "remaining lives told", len(told), ""),
        Figure(case, "remaining lives ended by the repair", len(told) - len(held), ""),
    ]


def _cpu(case: str, years: Sequence[AssetYear]) -> list[Figure]:
    """Return the minutes of one core that a year of the plant, or of its machines of a make, takes."""
    machines = ASSETS if case == ALL else EACH
    share = machines * YEAR_DAYS / sum(year.asset.days for year in years) / 60
    simulating = share * sum(year.simulating_cpu_s for year in years)
    judging = share * sum(year.judging_cpu_s for year in years)
    return [
        Figure(case, CPU, simulating + judging, "min"),
        Figure(case, "of it simulating", simulating, "min"),
        Figure(case, "of it judging", judging, "min"),
    ]


def _false_per_week(years: Sequence[AssetYear]) -> float:
    """Return what was raised while healthy, per week of health; what a failing wire raised and says so is not false."""
    weeks = sum(year.healthy_s for year in years) / WEEK_S
    false = [
        each for year in years for each in year.other
        if not (each.of_wire and each.verdict.cause is COMMUNICATION)
    ]
    return len(false) / weeks if weeks else np.nan


def _of_wire(years: Sequence[AssetYear]) -> list[Raised]:
    """Return what was raised of a healthy machine while its wire failed, or just after."""
    return [each for year in years for each in year.other if each.of_wire]


def _percent(rights: Sequence[bool]) -> float:
    return 100 * float(np.mean(rights)) if rights else float("nan")
