"""Learning: what it refuses, with a reason, and what it makes of histories as they are."""

from __future__ import annotations

import re

import numpy as np
import pytest

from models.bundle import Bundle
from models.degradations import FAULTS
from models.experts import RIM
from models.learn import ROWS_MIN, LearnError, learn
from models.modes import rows_since_change
from models.runtime import Detector
from models.scores import STATISTICS, ScoreBank
from simulators.plant import Plant
from tests.models.plants import TAGS, Bools, Float32s, autoregressive, coupled, drifting, good, settling, taught

NAMES = [name for name, _ in TAGS]


def masked(values: Float32s, mask: Bools) -> Float32s:
    return np.where(mask, values, np.float32(np.nan))


def learnt(values: Float32s, mask: Bools | None = None) -> Bundle:
    return learn([values if mask is None else masked(values, mask)], TAGS, 1000, name="pump", source="pump.parquet")


def refused(values: Float32s, mask: Bools | None = None) -> str:
    with pytest.raises(LearnError) as refusal:
        learnt(values, mask)
    return str(refusal.value)


def test_a_short_history_is_refused_with_its_length() -> None:
    said = refused(coupled(ROWS_MIN - 1, seed=1))
    assert re.search(r"\b99 rows\b.*\b100\b.*record for longer", said)
    with pytest.raises(LearnError, match=r"0 rows"):
        learn([], TAGS, 1000, name="pump")


def test_tags_that_are_mostly_missing_are_refused_by_name() -> None:
    x = coupled(1000, seed=1)
    mask = good(x)
    mask[:700, 1] = mask[300:, 4] = False
    said = refused(x, mask)
    assert "pressure (70%)" in said
    assert "speed (70%)" in said
    assert not [name for name in NAMES if name in said and name not in ("pressure", "speed")]


def test_a_history_in_which_nothing_moves_is_refused() -> None:
    said = refused(np.full((1000, 6), 3.0, np.float32))
    assert "flow (constant)" in said
    assert "2 more" in said


def test_a_history_in_which_everything_drifts_is_learnt_as_it_is() -> None:
    x = coupled(1000, seed=1) + np.linspace(0.0, 300.0, 1000, dtype=np.float32)[:, None]
    x[:, 0] = 4.0
    bundle = learnt(x)
    assert [tag.role for tag in bundle.manifest.tags] == ["constant", *["scored"] * 5]
    assert not len(bundle.statistics.experts.low)


def test_too_few_complete_rows_are_refused_with_their_number() -> None:
    x = coupled(1200, seed=1)
    mask = np.random.default_rng(0).random(x.shape) < 0.6
    said = refused(x, mask)
    complete = int(mask.all(1).sum())
    assert f"only {complete} rows" in said
    assert "flow, pressure" in said


def test_the_manifest_says_what_was_learnt_from(three: Bundle) -> None:
    manifest = three.manifest
    assert [(tag.name, tag.unit, tag.role) for tag in manifest.tags] == [(*tag, "scored") for tag in TAGS]
    assert (manifest.period_ms, manifest.learnt_rows, manifest.learnt_from) == (1000, 3000, "synthetic")
    assert manifest.faults == FAULTS
    assert [card.id for card in manifest.regimes] == ["R1", "R2", "R3"]
    assert sum(card.share for card in manifest.regimes) == pytest.approx(1.0, abs=1e-3)
    for card in manifest.regimes:
        assert re.search(rf"({'|'.join(NAMES)}) -?[\d.]+ .*% of the time", card.description)


def test_the_model_card_tells_a_person_the_same(three: Bundle) -> None:
    for tag in three.manifest.tags:
        assert f"| {tag.name} | {tag.unit} | {tag.role} |" in three.card
    for card in three.manifest.regimes:
        assert card.description in three.card
    assert "3000 rows of 1 s (synthetic)" in three.card


def test_a_regime_is_where_the_card_says(three: Bundle) -> None:
    statistics = three.statistics
    level = statistics.experts.regimes.mean * statistics.scale + statistics.centre
    for card, mean in zip(three.manifest.regimes, level, strict=True):
        name, number = re.match(r"(\w+) (-?[\d.]+)", card.description).groups()  # type: ignore[union-attr]
        place = NAMES.index(name)
        assert mean[place] == pytest.approx(float(number), abs=0.01 * statistics.scale[place])


def test_the_same_history_gives_the_same_bundle_to_the_bit(three: Bundle) -> None:
    again = taught(coupled(3000, seed=1, regimes=3))
    assert again.hash == three.hash
    assert again.graph == three.graph
    assert taught(coupled(3000, seed=2, regimes=3)).hash != three.hash


def test_progress_goes_from_nothing_to_all_with_a_word_for_each_step() -> None:
    heard: list[tuple[str, float]] = []
    learn(
        [coupled(800, seed=1)],
        TAGS, 1000, name="pump", progress=lambda step, share: heard.append((step, share)),
    )
    shares = [share for _, share in heard]
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert shares == sorted(shares)
    assert len({step for step, _ in heard}) >= 5


def stretches(x: Float32s, rows: int) -> list[Float32s]:
    return np.split(x, range(rows, len(x), rows))


@pytest.mark.parametrize("rows", [20, 600, 1000])
def test_a_history_in_pieces_teaches_the_same_regimes(three: Bundle, rows: int) -> None:
    pieces = learn(stretches(coupled(3000, seed=1, regimes=3), rows), TAGS, 1000, name="pump")
    np.testing.assert_array_equal(pieces.statistics.experts.regimes.mean, three.statistics.experts.regimes.mean)
    assert len(pieces.manifest.regimes) == 3


def test_empty_and_tiny_stretches_do_no_harm(plain: Bundle) -> None:
    x = coupled(3000, seed=1)
    bundle = learn([x[:0], x, x[:1], x[:0]], TAGS, 1000, name="pump")
    assert bundle.manifest.learnt_rows == 3001
    np.testing.assert_allclose(bundle.statistics.experts.regimes.mean, plain.statistics.experts.regimes.mean, atol=0.01)


def test_complete_rows_in_one_place_are_enough() -> None:
    x = coupled(3000, seed=1)
    mask = good(x)
    mask[1550:, 0] = mask[:1350, 1] = False
    assert learnt(x, mask).manifest.learnt_rows == 200


@pytest.mark.parametrize("modes", [1, 2])
def test_a_history_of_nothing_but_switches_is_learnt(modes: int) -> None:
    switches = np.stack([np.arange(1000) // 100 % 2, np.arange(1000) // 50 % 3], 1).astype(np.float32)[:, :modes]
    bundle = taught(switches, TAGS[:modes])
    scores = Detector(bundle).score(switches, good(switches))
    assert np.nanmax(scores.score) < 5.0


def test_a_gap_in_a_switch_costs_no_more_than_its_rows() -> None:
    x = settling(4000, seed=1, settle_rows=20)
    mask = good(x)
    mask[np.random.default_rng(0).random(4000) < 0.05, 6] = False
    tags = (*TAGS, ("on", ""))
    whole, poor = (learn([masked(x, m)], tags, 1000, name="pump") for m in (good(x), mask))
    assert poor.statistics.modes == whole.statistics.modes
    assert whole.manifest.learnt_rows == 4000 - 10 * 24
    assert poor.manifest.learnt_rows > 0.94 * whole.manifest.learnt_rows


def test_healthy_days_look_healthy_and_a_fault_does_not(plain: Bundle) -> None:
    detector = Detector(plain)
    x = coupled(2000, seed=5)
    healthy = detector.score(x, good(x)).score
    assert healthy.mean() == pytest.approx(1.0, abs=0.2)
    x[:, 2] += 5.0
    assert detector.score(x, good(x)).score.mean() > 3.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_complete_rows_in_one_place_are_enough_where_a_tag_drifts(seed: int) -> None:
    x = drifting(3000, seed)
    mask = good(x)
    mask[1550:, 0] = mask[:1350, 1] = False
    bundle = learnt(x, mask)
    assert bundle.manifest.learnt_rows == 200
    assert np.isfinite(bundle.statistics.calibration.limits(1e-6)[:3]).all()


def test_a_drifting_tag_conditions_the_others_where_they_depend_on_it(conditioned: Bundle) -> None:
    statistics = conditioned.statistics
    assert statistics.used.tolist() == [0, 1, 2, 3, 4, 5]
    assert statistics.scored.tolist() == [0, 1, 2, 3, 4]
    x = drifting(3000, seed=1)
    z = (x[:, 5] - statistics.centre[5]) / statistics.scale[5]
    (low,), (high,) = statistics.experts.low, statistics.experts.high
    assert low == pytest.approx(z.min() - RIM * (z.max() - z.min()), rel=1e-4)
    assert high == pytest.approx(z.max() + RIM * (z.max() - z.min()), rel=1e-4)


def test_a_drifting_tag_that_the_others_do_not_depend_on_is_left_out() -> None:
    x = coupled(3000, seed=1)
    x[:, 5] = np.cumsum(np.random.default_rng(1).normal(0.0, 1.0, 3000))
    bundle = learnt(x)
    assert bundle.manifest.tags[5].role == "drifting"
    assert bundle.statistics.used.tolist() == [0, 1, 2, 3, 4]
    alone = learn([x[:, :5]], TAGS[:5], 1000, name="pump")
    np.testing.assert_array_equal(bundle.statistics.experts.regimes.mean, alone.statistics.experts.regimes.mean)


def test_a_drifting_or_constant_tag_is_kept_in_its_place_but_not_scored() -> None:
    x = coupled(2000, seed=1)
    x[:, 0] = 4.0
    x[:, 3] = np.linspace(0.0, 50.0, 2000) + autoregressive(2000, 1, 0.5, np.random.default_rng(0))[:, 0]
    bundle = learnt(x)
    assert [tag.role for tag in bundle.manifest.tags] == [
        "constant", "scored", "scored", "drifting", "scored", "scored",
    ]
    assert bundle.statistics.scored.tolist() == [1, 2, 4, 5]


def wide(rows: int, seed: int, copies: int) -> Float32s:
    """The tags of several machines side by side."""
    return np.hstack([coupled(rows, seed * 10 + copy) for copy in range(copies)])


def numbered(count: int) -> list[tuple[str, str]]:
    return [(f"tag{number}", "") for number in range(count)]


def test_each_regime_is_as_wide_as_rows_show_that_it_was_not_learnt_from() -> None:
    """A wild regime, a fifth of the time, makes the shrunk covariance of the calm one too wide, its own too narrow."""
    wild = np.arange(2000) % 100 < 20

    def day(seed: int) -> Float32s:
        x = wide(2000, seed, 3)
        x[wild] += 60.0 + 3.0 * np.random.default_rng(seed).standard_t(3, x[wild].shape).astype(np.float32)
        return x

    bundle, x = taught(day(1), numbered(18)), day(51)
    assert len(bundle.manifest.regimes) == 2
    score = Detector(bundle).score(x, good(x)).score
    assert score[~wild].mean() == pytest.approx(1.0, abs=0.15)
    assert score[wild].mean() == pytest.approx(1.0, abs=0.35)


def test_a_fresh_day_looks_like_the_held_out_rows_of_a_short_history() -> None:
    """The averages' covariance was not calibrated with the rows that it was learnt from, which it flatters."""
    column = [statistic.name for statistic in STATISTICS].index("distance of mean 0.3")
    ratio = []
    for seed in (1, 2, 3):
        bundle, x = taught(wide(150, seed, 4), numbered(24)), wide(3000, seed + 50, 4)
        learnt, scores = bundle.statistics, Detector(bundle).score(x, good(x))
        bank = ScoreBank(learnt.reference, np.full(len(STATISTICS), np.inf))
        found = bank.update(scores.white.astype(np.float64), scores.score)
        ratio.append(float(np.median(found[:, column]) / learnt.calibration.centre[column]))
    assert 0.8 < np.mean(ratio) < 1.15


def test_rows_that_settle_teach_how_long_that_takes_and_nothing_else() -> None:
    x = settling(8000, 3, settle_rows=24)
    tags = (*TAGS, ("run", "1"))
    settles = np.arange(len(x)) % 400 < 200
    whole, without = (learn([x], tags, 1000, name="m", settling=told) for told in ((), [settles]))
    assert without.statistics.modes.settle_rows == whole.statistics.modes.settle_rows
    assert max(without.statistics.modes.settle_rows) >= 24
    assert without.manifest.learnt_rows == 4000 < whole.manifest.learnt_rows


def test_a_short_history_keeps_the_time_to_settle_that_was_found_first() -> None:
    """It takes six rows, as held-out ones show: without these fewer than a hundred are left, and then just as many."""
    x = settling(2000, 1, settle_rows=6)
    since = np.arange(len(x)) % 400
    told = [~((since < first) | ((since >= 300) & (since < last))) for first, last in ((6, 315), (8, 318))]
    short, enough = (learn([x], (*TAGS, ("run", "1")), 1000, name="m", settling=[rows]) for rows in told)
    assert (short.statistics.modes.settle_rows, short.manifest.learnt_rows) == ((0, 0), 105)
    assert (enough.statistics.modes.settle_rows, enough.manifest.learnt_rows) == ((6, 6), 100)


def test_how_a_machine_starts_with_each_of_its_products_is_settling_and_no_deviation() -> None:
    """Of three products one is seldom the one to start with: too few rows for a regime of their own."""
    days, names = 14, [(tag.name, tag.unit) for tag in Plant("pump", 1).tags]
    first, second = (Plant("pump", seed).rows(0, days * 1440, 60) for seed in (1, 6))
    detector = Detector(learn([first], names, 60_000, name="pump"))
    modes = detector.statistics.modes
    score = detector.score(second, good(second)).score
    since = rows_since_change(second, modes.commands)
    settled = ~modes.settling(second)
    starts, long_after = (np.nanquantile(score[settled & rows], 0.99) for rows in (since < 60, since >= 240))
    assert starts < 2 * long_after
