"""The graph on ONNX Runtime against the same mathematics in numpy."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx
import pytest

from models.bundle import Bundle, BundleError, Statistics
from models.graph import CLIP
from models.head import WINDOW_ROWS, Head, features
from models.inject import FAULTS
from models.runtime import COVERAGE_MIN, Detector, Scores
from tests.models.plants import Float32s, Float64s, coupled, good, taught

FIRST = WINDOW_ROWS - 1


@dataclass(frozen=True, slots=True)
class Reference:
    """What the regime experts say of rows, row by row, in float64."""

    regime: np.ndarray
    distance: Float64s
    residual: Float64s
    expected: Float64s

    @classmethod
    def of(cls, statistics: Statistics, x: Float32s) -> Reference:
        regimes = statistics.regimes
        z = np.clip((x[:, statistics.scored] - statistics.centre) / statistics.scale, -CLIP, CLIP)
        density, distance = regimes.assess(z)
        regime = density.argmax(1)
        precision = np.linalg.inv(regimes.covariance)[regime]
        pull = np.einsum("nij,nj->ni", precision, z - regimes.mean[regime])
        stiffness = np.diagonal(precision, axis1=1, axis2=2)
        expected = (z - pull / stiffness) * statistics.scale + statistics.centre
        return cls(regime, distance[np.arange(len(z)), regime], pull / np.sqrt(stiffness), expected)


def scored(detector: Detector, x: Float32s) -> Scores:
    return detector.score(x[None], good(x)[None])


def close(one: Scores, other: Scores) -> None:
    assert np.array_equal(one.regime, other.regime)
    np.testing.assert_allclose(one.score, other.score, rtol=1e-5)
    for name in ("residual", "expected", "fault_logits", "coverage"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("faulty", [False, True], ids=["healthy", "faulty"])
def test_the_graph_computes_what_the_regime_experts_say(three: Bundle, detector: Detector, faulty: bool) -> None:
    x = coupled(1500, seed=7, regimes=3)
    x[700:, 2] += 12.0 * faulty
    reference = Reference.of(three.statistics, x)
    scores = scored(detector, x)
    assert np.array_equal(scores.regime[0], reference.regime[FIRST:])
    np.testing.assert_allclose(scores.score[0], reference.distance[FIRST:] / x.shape[1], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(scores.residual[0], reference.residual[FIRST:], rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(scores.expected[0], reference.expected[FIRST:], rtol=1e-4, atol=1e-3)


def test_leaving_a_tag_out_lowers_the_distance_by_its_squared_residual(plain: Bundle) -> None:
    x = coupled(300, seed=7)
    whole = scored(Detector(plain), x)
    mask = good(x)
    mask[:, 4] = False
    without = Detector(plain).score(x[None], mask[None])
    lowered = whole.score[0] * x.shape[1] - without.score[0] * (x.shape[1] - 1)
    np.testing.assert_allclose(lowered, whole.residual[0, :, 4] ** 2, rtol=1e-2, atol=1e-2)


def test_a_measurement_without_bounds_neither_overflows_nor_is_called_normal(detector: Detector) -> None:
    x = coupled(WINDOW_ROWS, seed=7, regimes=3)
    x[-1, 0] = np.finfo(np.float32).max
    score = scored(detector, x).score[0, -1]
    assert np.isfinite(score)
    assert score > 1e4


def windows_of(statistics: Statistics, x: Float32s) -> tuple[Float64s, Float64s]:
    """Each tag's residual windows and where its raw value did not change, both [T * C, WINDOW_ROWS]."""
    residual = Reference.of(statistics, x).residual
    still = np.vstack([np.ones(x.shape[1]), (np.diff(x, axis=0) == 0)])
    both = np.lib.stride_tricks.sliding_window_view(np.stack([residual, still]), WINDOW_ROWS, 1)
    return tuple(part.reshape(-1, WINDOW_ROWS) for part in both)  # type: ignore[return-value]


def deviating(seed: int) -> Float32s:
    """Something of everything that the head tells apart."""
    x = coupled(1200, seed=seed, regimes=3)
    x[300:500, 0] += 9.0
    x[500:700, 1] += np.linspace(0.0, 30.0, 200)
    x[700:900, 2] = x[700, 2]
    x[600:1000, 3] += 10.0 * np.sin(np.arange(400) / 2)
    x[800:, 5] += np.random.default_rng(seed).normal(0.0, 12.0, 400)
    return x


def test_the_quantized_head_says_what_the_float_head_says(three: Bundle, detector: Detector) -> None:
    x = deviating(seed=8)
    wanted = Head.load().logits(features(*windows_of(three.statistics, x)))
    got = scored(detector, x).fault_logits[0].reshape(-1, len(FAULTS))
    error = np.abs(got - wanted).max(1) / np.abs(wanted).max(1)
    assert len(set(wanted.argmax(1))) >= 5, "the windows try too few faults"
    assert np.quantile(error, 0.99) < 0.05
    assert (got.argmax(1) == wanted.argmax(1)).mean() > 0.99


def test_the_graph_is_a_quantized_mixture_of_experts(plain: Bundle) -> None:
    graph = onnx.load_from_string(plain.graph)
    onnx.checker.check_model(graph)
    (moe,) = [node for node in graph.graph.node if node.op_type == "QMoE"]
    assert moe.domain == "com.microsoft"
    weights = {constant.name: constant for constant in graph.graph.initializer}
    assert weights[moe.input[2]].data_type == onnx.TensorProto.UINT8


def test_a_batch_of_sequences_is_scored_as_one_by_one(detector: Detector) -> None:
    batch = np.stack([coupled(150, seed, regimes=3) for seed in range(5)])
    mask = np.random.default_rng(0).random(batch.shape) < 0.9
    together = detector.score(batch, mask)
    for number, (x, one) in enumerate(zip(batch, mask, strict=True)):
        alone = Scores(*(getattr(together, name)[number : number + 1] for name in Scores.__slots__))
        close(detector.score(x[None], one[None]), alone)


def test_a_long_sequence_is_scored_as_its_windows_one_at_a_time(detector: Detector) -> None:
    x = coupled(WINDOW_ROWS + 30, seed=4, regimes=3)
    x[40:, 1] += 8.0
    mask = np.random.default_rng(0).random(x.shape) < 0.9
    together = detector.score(x[None], mask[None])
    joined: Scores | None = None
    for end in range(WINDOW_ROWS, len(x) + 1):
        window = slice(end - WINDOW_ROWS, end)
        one = detector.score(x[None, window], mask[None, window])
        joined = one if joined is None else joined.then(one)
    assert joined is not None
    close(joined, together)
    close(joined.last(7), together.last(7))


def test_a_row_with_too_few_good_values_has_no_score(detector: Detector) -> None:
    x = coupled(WINDOW_ROWS + 6, seed=4, regimes=3)
    mask = good(x)
    for missing in range(7):
        mask[FIRST + missing, :missing] = False
    scores = detector.score(x[None], mask[None])
    coverage = 1.0 - np.arange(7) / 6
    np.testing.assert_allclose(scores.coverage[0], coverage, rtol=1e-6)
    assert np.array_equal(np.isnan(scores.score[0]), coverage < COVERAGE_MIN)


def test_rows_without_any_good_value_are_taken_without_complaint(detector: Detector) -> None:
    x = np.full((WINDOW_ROWS + 3, 6), np.nan, np.float32)
    scores = detector.score(x[None], np.zeros((1, *x.shape), np.bool_))
    assert np.isnan(scores.score).all()
    assert not scores.coverage.any()
    np.testing.assert_allclose(scores.residual, 0.0, atol=1e-3)
    assert np.isfinite(scores.fault_logits).all()


def test_tags_that_are_not_scored_have_no_opinion(plain: Bundle) -> None:
    x = coupled(2000, seed=1)
    x[:, 3] = 7.0
    bundle = taught(x)
    scores = scored(Detector(bundle), x[:100])
    assert bundle.manifest.tags[3].role == "constant"
    for values in (scores.residual, scores.expected, scores.fault_logits):
        assert np.isnan(values[:, :, 3]).all()
        assert np.isfinite(np.delete(values, 3, axis=2)).all()


@pytest.mark.parametrize(
    "graph", [b"", b"not a graph", b"\x08\x0a" * 50], ids=["empty", "text", "not one of ours"]
)
def test_a_graph_that_cannot_be_loaded_is_one_clear_error(plain: Bundle, graph: bytes) -> None:
    with pytest.raises(BundleError, match=r"graph of bundle 'machine'.*learn it anew"):
        Detector(replace(plain, graph=graph))


def test_a_graph_for_other_tags_is_refused_at_the_start_and_not_in_the_night(plain: Bundle) -> None:
    other = taught(coupled(400, seed=1)[:, :4], (("a", ""), ("b", ""), ("c", ""), ("d", "")))
    with pytest.raises(BundleError, match=r"graph of bundle 'machine' does not run.*learn it anew"):
        Detector(replace(plain, graph=other.graph))
