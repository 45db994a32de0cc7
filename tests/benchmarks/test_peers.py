"""The peers: their limit, their blindness, and that each of them finds what nobody could miss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from agent.backtest.trial import HEALTHY, BacktestError, Segment
from benchmarks import sequences
from benchmarks.methods import METHODS, OURS, Method, chosen, installed
from benchmarks.peers import PeerJudge, Scaling, Scorer, UnfinishedError, peer, shortened, thinned
from benchmarks.result import BenchmarkError

ORIGIN = "pip install 'forewarn[bench]'"
PEERS = [name for name, method in METHODS.items() if method.needs]


def segment(values: np.ndarray) -> Segment:
    times_ns = np.arange(len(values), dtype=np.int64) * 1_000_000_000
    values = values.astype(np.float32)
    return Segment("run", times_ns, values, np.isfinite(values), np.full(len(values), HEALTHY, np.int8))


def noise(rows: int, columns: int = 3, seed: int = 0) -> np.ndarray:
    mixing = np.random.default_rng(9).normal(size=(columns, columns))
    return np.random.default_rng(seed).normal(size=(rows, columns)) @ mixing + 100


def learn(method: Method, parts: Sequence[np.ndarray]) -> PeerJudge:
    tags = [f"t{number}" for number in range(parts[0].shape[1])]
    judge = method.make(0)([segment(part) for part in parts], tags, 1.0, 1e-6, lambda _share: None)
    assert isinstance(judge, PeerJudge)
    return judge


def test_the_limit_is_the_99_percent_quantile_on_the_held_out_end_of_each_stretch() -> None:
    given: list[list[int]] = []

    def fit(stretches: Sequence[np.ndarray]) -> Scorer:
        given.append([len(rows) for rows in stretches])
        return lambda rows: np.arange(len(rows), dtype=float)

    judge = learn(Method(lambda _seed: peer(fit)), [noise(100), noise(200)])
    assert given == [[70, 140], [100, 200]]  # for the limit, then for the trial
    assert judge.limit == np.quantile([*range(70, 100), *range(140, 200)], 0.99)


def test_a_row_that_lacks_a_value_is_blind_and_the_others_keep_their_order() -> None:
    judge = PeerJudge(Scaling(np.array([0, 2]), np.zeros(2), np.ones(2)), lambda rows: rows.sum(axis=1), 4.0)
    values = np.array([[1, np.nan, 1], [np.nan, 1, 1], [3, 1, 3]], np.float32)
    said = judge.judge(np.arange(3), values, np.isfinite(values))
    assert said.score[[0, 2]].tolist() == [2, 6]
    assert np.isnan(said.score[1])
    assert said.alarmed.tolist() == [False, False, True]


def test_columns_that_stand_still_or_are_mostly_missing_are_left_out() -> None:
    rows = noise(100, 4)
    rows[:, 1] = 5
    rows[:60, 3] = np.nan
    assert Scaling.of([rows]).columns.tolist() == [0, 2]
    with pytest.raises(BacktestError, match="no column moves"):
        Scaling.of([rows[:, [1]]])


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(BacktestError, match="fewer than 50"):
        learn(Method(lambda _seed: peer(lambda _stretches: np.sum)), [noise(40)])


def test_rows_are_thinned_evenly_and_stretches_shortened_alike() -> None:
    rows = np.arange(100.0)[:, None]
    assert thinned([rows], 4).ravel().tolist() == [0, 33, 66, 99]
    assert thinned([rows, rows], 300).shape == (200, 1)
    assert [part.ravel().tolist() for part in shortened([rows[:4], rows[:8]], 6)] == [[2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.filterwarnings("ignore")  # the packages' own
def test_each_peer_finds_a_large_shift_and_is_quiet_before(name: str) -> None:
    method = METHODS[name]
    pytest.importorskip(method.needs, reason=ORIGIN)
    if name in {"AutoEncoder", "LSTM"}:
        pytest.importorskip("torch", reason=ORIGIN)
    judge = learn(method, [noise(400)])
    tried = noise(100, seed=1)
    tried = np.concatenate([tried, tried + np.array([40, -40, 40])])
    said = judge.judge(np.arange(200), tried.astype(np.float32), np.ones(tried.shape, np.bool_))
    assert said.score.shape == (200,)
    assert said.alarmed[130:].mean() > 0.5
    assert said.alarmed[:100].mean() < 0.2


@pytest.mark.parametrize("name", [name for name in PEERS if METHODS[name].seeded])
@pytest.mark.filterwarnings("ignore")
def test_the_same_seed_gives_the_same_scores(name: str) -> None:
    pytest.importorskip(METHODS[name].needs, reason=ORIGIN)
    if name in {"AutoEncoder", "LSTM"}:
        pytest.importorskip("torch", reason=ORIGIN)
    rows = noise(150).astype(np.float32)
    first, second = (
        learn(METHODS[name], [noise(150)]).judge(np.arange(150), rows, np.ones(rows.shape, np.bool_)) for _ in range(2)
    )
    np.testing.assert_array_equal(first.score, second.score)


@pytest.mark.parametrize("name", ["KMeansAD", "LSTM", "MatrixProfile"])
@pytest.mark.filterwarnings("ignore")
def test_windows_do_not_look_ahead(name: str) -> None:
    pytest.importorskip(METHODS[name].needs, reason=ORIGIN)
    if name == "LSTM":
        pytest.importorskip("torch", reason=ORIGIN)
    judge = learn(METHODS[name], [noise(150)])
    rows = noise(80).astype(np.float32)
    changed = rows.copy()
    changed[60:] += 50
    before, after = (judge.judge(np.arange(80), each, np.ones(rows.shape, np.bool_)).score for each in (rows, changed))
    np.testing.assert_allclose(before[:60], after[:60], rtol=1e-5, atol=1e-5)
    assert np.nanmax(after[60:]) > 2 * np.nanmax(before[60:])


def test_a_matrix_profile_of_too_many_pairs_does_not_finish() -> None:
    pytest.importorskip("stumpy", reason=ORIGIN)
    score = sequences.matrix_profile([np.zeros((10_000, 10))])
    with pytest.raises(UnfinishedError, match="too long"):
        score(np.zeros((10_000, 10)))


def test_methods_are_chosen_by_name_in_any_case() -> None:
    assert list(chosen(["MAX |Z|", "Forewarn"])) == ["max |z|", OURS]
    with pytest.raises(BenchmarkError, match=r"no method lofi; there are: forewarn, .*LOF"):
        chosen(["lofi"])


def test_a_package_that_is_not_installed_is_named_with_the_remedy() -> None:
    absent = {"X": Method(lambda _seed: peer(lambda _stretches: np.sum), "no_such_package_anywhere")}
    with pytest.raises(BenchmarkError, match=r"no_such_package_anywhere; pip install 'forewarn\[bench\]'.*forewarn,"):
        installed(absent)


def test_no_method_that_needs_nothing_is_a_peer() -> None:
    assert [name for name, method in METHODS.items() if not method.needs and method.by_default] == [
        OURS, "always-on", "random", "clock", "max |z|",
    ]
