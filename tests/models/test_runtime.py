"""The graph on ONNX Runtime against the same mathematics in numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from models.bundle import Bundle, BundleError
from models.degradations import FAULTS
from models.fault_head import OUTPUTS, FaultHead
from models.features import FEATURES, GLOBALS, MOVING, FeatureTracker
from models.graph import CLIP
from models.runtime import Detector
from models.scored_rows import COVERAGE_MIN, Scores
from tests.models.plants import TAGS, Bools, Float32s, Float64s, coupled, drifting, good, taught


def scored(detector: Detector, x: Float32s) -> Scores:
    return detector.score(x, good(x))


def standardised(bundle: Bundle, x: Float32s) -> Float64s:
    s = bundle.statistics
    return np.asarray(np.clip((x[:, s.used] - s.centre) / s.scale, -CLIP, CLIP), np.float64)


def agrees(bundle: Bundle, x: Float32s) -> None:
    """What the graph says of rows without gaps is what the experts say in numpy and float64."""
    s = bundle.statistics
    z, w = standardised(bundle, x), s.experts.whitening
    seen = s.experts.see(z)
    residual, deviation = s.experts.explain(z, seen)
    scores, S = scored(Detector(bundle), x), s.scored
    assert np.array_equal(scores.regime, seen.regime)
    np.testing.assert_allclose(scores.score, seen.distance / len(S), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(scores.white, seen.white, rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(scores.residual[:, S], residual, rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(scores.deviation, deviation, rtol=1e-3, atol=2e-3)
    offset = residual / np.sqrt(w.stiffness[seen.regime]) * s.scale[: len(S)]
    np.testing.assert_allclose(scores.expected[:, S], x[:, S] - offset, rtol=1e-4, atol=2e-3)


def close(one: Scores, other: Scores) -> None:
    assert np.array_equal(one.regime, other.regime)
    np.testing.assert_allclose(one.score, other.score, rtol=1e-5)
    for name in ("residual", "expected", "white", "deviation", "coverage"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("fault", [0.0, 12.0], ids=["healthy", "faulty"])
def test_the_graph_computes_what_the_experts_say(three: Bundle, fault: float) -> None:
    x = coupled(1500, seed=7, regimes=3)
    x[700:, 2] += np.float32(fault)
    agrees(three, x)


@pytest.mark.parametrize("heat", [0.0, 5.0, -1e4], ids=["as learnt", "hot", "far out of its bounds"])
def test_the_graph_follows_the_conditions_as_the_experts_do(conditioned: Bundle, heat: float) -> None:
    x = drifting(500, seed=1)
    x[:, 5] += np.float32(heat)
    agrees(conditioned, x)


def test_a_drift_that_was_learnt_as_a_condition_is_no_evidence(conditioned: Bundle) -> None:
    """The others follow the heat further than they ever did; a sensor that drifts by itself is another matter."""
    x = drifting(500, seed=1)
    s = conditioned.statistics
    base = np.median(scored(Detector(conditioned), x).score)
    together = x + np.outer(np.full(500, 4.0), [0.9, -0.6, 0.7, 0.0, -0.9, 1.0]).astype(np.float32)
    alone = x.copy()
    alone[:, 0] += 3.6
    assert (together[:, 5] < s.centre[5] + s.scale[5] * s.experts.high[0]).all(), "within the bounds"
    assert np.median(scored(Detector(conditioned), together).score) < 1.5 * base
    assert np.median(scored(Detector(conditioned), alone).score) > 3.0 * base


def test_leaving_a_tag_out_lowers_the_distance_by_its_squared_residual(plain: Bundle) -> None:
    x = coupled(300, seed=7)
    whole = scored(Detector(plain), x)
    mask = good(x)
    mask[:, 4] = False
    without = Detector(plain).score(x, mask)
    lowered = whole.score * x.shape[1] - without.score * (x.shape[1] - 1)
    np.testing.assert_allclose(lowered, whole.residual[:, 4] ** 2, rtol=1e-2, atol=1e-2)


def test_a_measurement_without_bounds_neither_overflows_nor_is_called_normal(detector: Detector) -> None:
    x = coupled(5, seed=7, regimes=3)
    x[-1, 0] = np.finfo(np.float32).max
    scores = scored(detector, x)
    assert np.isfinite(scores.score).all()
    assert scores.score[-1] > 1e4
    assert np.isfinite(scores.white).all()


def lossy(rows: int, columns: int, seed: int = 0) -> Bools:
    return np.asarray(np.random.default_rng(seed).random((rows, columns)) < 0.9)


def test_gaps_add_no_evidence(three: Bundle, detector: Detector) -> None:
    """Healthy rows, and rows of a fault whose tag is lost."""
    x = coupled(3000, seed=8, regimes=3)
    whole, poor = scored(detector, x), detector.score(x, lossy(*x.shape))
    kept = ~np.isnan(poor.score)
    assert 0.5 < kept.mean() < 1.0, "some rows lack too much"
    assert poor.score[kept].mean() == pytest.approx(whole.score.mean(), rel=0.05)
    x[:, 2] += 30.0
    mask = good(x)
    mask[:, 2] = False
    lost = detector.score(x, mask)
    assert lost.score.mean() == pytest.approx(whole.score.mean(), rel=0.1)
    assert scored(detector, x).score.mean() > 10.0
    np.testing.assert_allclose(lost.residual[:, 2], 0.0, atol=2e-3)
    np.testing.assert_allclose(lost.white.astype(np.float64).var(0).sum(), 5.0, rtol=0.15)


@pytest.mark.parametrize("heat", [0.0, 1e3], ids=["within the bounds", "beyond"])
def test_a_gap_beside_a_condition_adds_no_evidence(conditioned: Bundle, heat: float) -> None:
    x = drifting(500, seed=1)
    x[:, 5] += np.float32(heat)
    mask = good(x)
    mask[:, 2] = False
    detector = Detector(conditioned)
    whole, lost = scored(detector, x), detector.score(x, mask)
    np.testing.assert_allclose(lost.residual[:, 2], 0.0, atol=1e-2)
    lowered = whole.score * 5 - lost.score * 4
    np.testing.assert_allclose(lowered, whole.residual[:, 2] ** 2, rtol=2e-2, atol=2e-2)


def test_a_lost_condition_makes_no_healthy_row_odd(conditioned: Bundle) -> None:
    x = drifting(500, seed=1)
    mask = good(x)
    mask[:, 5] = False
    scores = Detector(conditioned).score(x, mask)
    assert (scores.coverage == 1.0).all(), "coverage is that of the scored tags"
    assert scores.score.mean() < 1.2


@pytest.mark.parametrize("portion", [1, 7, 64])
def test_rows_are_scored_alike_in_any_portions(detector: Detector, portion: int) -> None:
    x = coupled(130, seed=4, regimes=3)
    x[40:, 1] += 8.0
    mask = lossy(*x.shape)
    together = detector.score(x, mask)
    joined: Scores | None = None
    for low in range(0, len(x), portion):
        one = detector.score(x[low : low + portion], mask[low : low + portion])
        joined = one if joined is None else joined.then(one)
    assert joined is not None
    close(joined, together)
    close(joined.last(7), together.last(7))
    assert len(joined.last(7).score) == 7
    close(joined.last(500), together)


def test_a_row_with_too_few_good_values_has_no_score(detector: Detector) -> None:
    x = coupled(7, seed=4, regimes=3)
    mask = good(x)
    for missing in range(7):
        mask[missing, :missing] = False
    scores = detector.score(x, mask)
    coverage = 1.0 - np.arange(7) / 6
    np.testing.assert_allclose(scores.coverage, coverage, rtol=1e-6)
    assert np.array_equal(np.isnan(scores.score), coverage < COVERAGE_MIN)


def test_rows_without_any_good_value_are_taken_without_complaint(detector: Detector) -> None:
    x = np.full((3, 6), np.nan, np.float32)
    scores = detector.score(x, np.zeros(x.shape, np.bool_))
    assert np.isnan(scores.score).all()
    assert not scores.coverage.any()
    np.testing.assert_allclose(scores.residual, 0.0, atol=1e-3)
    assert np.isfinite(scores.white).all()


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows_or_none_are_scored(detector: Detector, rows: int) -> None:
    scores = scored(detector, coupled(2, seed=4, regimes=3)[:rows])
    assert [len(getattr(scores, name)) for name in Scores.__slots__] == [rows] * len(Scores.__slots__)


def test_tags_that_are_not_scored_have_no_opinion() -> None:
    x = coupled(2000, seed=1)
    x[:, 3] = 7.0
    bundle = taught(x)
    scores = scored(Detector(bundle), x[:100])
    assert bundle.manifest.tags[3].role == "constant"
    for values in (scores.residual, scores.expected):
        assert np.isnan(values[:, 3]).all()
        assert np.isfinite(np.delete(values, 3, axis=1)).all()
    assert scores.white.shape == scores.deviation.shape == (100, 5)


def deviating(seed: int) -> Float32s:
    """Something of everything that the head tells apart."""
    x = coupled(1200, seed=seed, regimes=3)
    x[300:500, 0] += 9.0
    x[500:700, 1] += np.linspace(0.0, 30.0, 200, dtype=np.float32)
    x[700:900, 2] = x[700, 2]
    x[600:1000, 3] += 10.0 * np.sin(np.arange(400, dtype=np.float32) / 2)
    x[800:, 5] += np.random.default_rng(seed).normal(0.0, 12.0, 400).astype(np.float32)
    return x


def features_of(
    bundle: Bundle, detector: Detector, x: Float32s, mask: Bools, ignored: Bools | None = None
) -> tuple[Float32s, Float32s]:
    tracker = FeatureTracker(bundle.statistics.head, bundle.statistics.scored)
    passed = np.zeros(len(x), np.bool_) if ignored is None else ignored
    return tracker.update(detector.score(x, mask), x, mask, np.zeros_like(mask), passed)


def test_the_quantized_head_says_what_the_float_head_says(three: Bundle, detector: Detector) -> None:
    x = deviating(seed=8)
    features, whole = features_of(three, detector, x, good(x))
    judged, kinds = detector.judge(features, whole)
    wanted_judged, wanted_kinds = FaultHead.load().forward(features, whole)
    assert judged.shape == (len(x), len(OUTPUTS))
    assert kinds.shape == (len(x), len(TAGS), len(FAULTS))
    assert len(set(wanted_kinds.argmax(2).ravel())) >= 5, "the rows try too few faults"
    np.testing.assert_allclose(judged, wanted_judged, rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(kinds, wanted_kinds, rtol=1e-3, atol=2e-3)


def test_the_head_knows_a_faulty_row_from_a_healthy_one(three: Bundle, detector: Detector) -> None:
    x = deviating(seed=8)
    fault = detector.judge(*features_of(three, detector, x, good(x)))[0][:, OUTPUTS.index("fault")]
    # Where its zero lies differs from plant to plant; that faulty rows stand above healthy ones does not.
    assert np.quantile(fault[340:], 0.1) > np.quantile(fault[100:300], 0.9)
    assert np.median(fault[100:300]) < 0 < np.median(fault[340:])


def test_what_fills_a_gap_leaves_no_trace_in_what_the_head_sees(three: Bundle, detector: Detector) -> None:
    x = coupled(400, seed=5, regimes=3)
    x[:, 1] = 5.0 * np.round(x[:, 1] / 5.0)  # so coarse that it often stays the same
    mask = good(x)
    mask[200:, 1] = False
    dirty = np.where(mask, x, np.float32(1e6))
    features, _ = features_of(three, detector, x, mask)
    np.testing.assert_array_equal(features_of(three, detector, dirty, mask)[0], features)
    averages = slice(2, MOVING)
    np.testing.assert_allclose(features[399, 1, averages], features[199, 1, averages], atol=1e-6)
    assert np.isfinite(features).all()
    mask[300:] = False
    blind = features_of(three, detector, x, mask)
    np.testing.assert_allclose(blind[0][399][:, averages], blind[0][299][:, averages], atol=1e-6)
    np.testing.assert_allclose(blind[1][399, 1:], blind[1][299, 1:], atol=1e-4)
    assert blind[1][399, 0] == pytest.approx(0.0, abs=1e-4), "no distance now"


def test_rows_in_which_the_machine_settles_leave_no_trace_in_what_the_head_sees(
    three: Bundle, detector: Detector
) -> None:
    x = deviating(seed=8)
    settling = np.zeros(len(x), np.bool_)
    settling[600:640] = True
    features, whole = features_of(three, detector, x, good(x), settling)
    averages = slice(2, MOVING - 1)  # how long a value stands still is counted while it settles, too
    np.testing.assert_allclose(features[639][:, averages], features[599][:, averages], atol=1e-6)
    np.testing.assert_allclose(whole[639, 1:], whole[599, 1:], atol=1e-4)
    x[600:640, 1] = 1e3
    violent, _ = features_of(three, detector, x, good(x), settling)
    np.testing.assert_allclose(violent[700:][:, :, averages], features[700:][:, :, averages], atol=1e-6)


def test_the_graph_is_a_quantized_mixture_of_experts(plain: Bundle) -> None:
    graph = onnx.load_from_string(plain.graph)
    onnx.checker.check_model(graph)
    (moe,) = [node for node in graph.graph.node if node.op_type == "QMoE"]
    assert moe.domain == "com.microsoft"
    weights = {constant.name: constant for constant in graph.graph.initializer}
    assert weights[moe.input[2]].data_type == onnx.TensorProto.UINT8


@pytest.mark.parametrize("graph", [b"", b"not a graph", b"\x08\x0a" * 50], ids=["empty", "text", "not one of ours"])
def test_a_graph_that_cannot_be_loaded_is_one_clear_error(plain: Bundle, graph: bytes) -> None:
    with pytest.raises(BundleError, match=r"graph of bundle 'machine'.*learn it anew"):
        Detector(replace(plain, graph=graph))


def test_a_graph_for_other_tags_is_refused_at_the_start_and_not_in_the_night(plain: Bundle) -> None:
    other = taught(coupled(400, seed=1)[:, :4], (("a", ""), ("b", ""), ("c", ""), ("d", "")))
    with pytest.raises(BundleError, match=r"graph of bundle 'machine' does not run.*learn it anew"):
        Detector(replace(plain, graph=other.graph))


def test_the_head_takes_any_number_of_rows(detector: Detector) -> None:
    for rows in (0, 1, 3):
        judged, kinds = detector.judge(
            np.zeros((rows, len(TAGS), FEATURES), np.float32), np.zeros((rows, GLOBALS), np.float32)
        )
        assert (len(judged), len(kinds)) == (rows, rows)
