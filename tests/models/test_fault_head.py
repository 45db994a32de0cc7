"""The universal fault head in numpy, and the graph that it becomes."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from models import head_graph
from models.degradations import FAULTS
from models.fault_head import (
    ACTIVE,
    BLOCK,
    OUTPUTS,
    TOP,
    FaultHead,
    Float32s,
    HeadError,
    dequantize,
    pool,
    quantize,
    route,
)
from models.features import FEATURES, GLOBALS

H, C, E, INNER, J = 32, 12, 8, 64, 20


def random_head(seed: int = 0, experts: int = E) -> FaultHead:
    rng = np.random.default_rng(seed)
    sizes: dict[str, tuple[int, ...]] = {
        "embed": (FEATURES, H),
        "context": (3 * H + GLOBALS, C),
        "router": (C, experts),
        "lift": (C, H),
        "judge": (3 * H + C, J),
        "verdict": (J, len(OUTPUTS)),
        "kinds": (H, len(FAULTS)),
    }
    sizes |= {f"{name}_bias": size[1:] for name, size in sizes.items()}
    sizes |= {"W1": (experts, INNER, H), "b1": (experts, INNER), "W2": (experts, H, INNER), "b2": (experts, H)}
    return FaultHead(**{name: (0.2 * rng.standard_normal(size)).astype(np.float32) for name, size in sizes.items()})


def inputs(rows: int, channels: int, seed: int = 1) -> tuple[Float32s, Float32s]:
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((rows, channels, FEATURES)).astype(np.float32),
        rng.standard_normal((rows, GLOBALS)).astype(np.float32),
    )


def test_the_weights_survive_the_disk(tmp_path: Path) -> None:
    head = random_head()
    head.save(tmp_path / "head.npz", seed="3")
    again = FaultHead.load(tmp_path / "head.npz")
    for field in fields(FaultHead):
        np.testing.assert_allclose(getattr(again, field.name), getattr(head.rounded(), field.name), atol=1e-6)
    assert (quantize(again.W1)[0] == quantize(head.W1)[0]).all(), "rounding twice is rounding once"
    with np.load(tmp_path / "head.npz") as stored:
        assert str(stored["seed"]) == "3"


def test_a_file_without_a_head_is_refused_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", embed=np.zeros(3))
    with pytest.raises(HeadError, match=r"other\.npz is not a fault head, it lacks embed_bias"):
        FaultHead.load(tmp_path / "other.npz")


def test_a_head_of_other_features_is_refused(tmp_path: Path) -> None:
    head = random_head()
    replace(head, embed=head.embed[:-1]).save(tmp_path / "old.npz")
    with pytest.raises(HeadError, match="trained on other features"):
        FaultHead.load(tmp_path / "old.npz")


def test_a_window_does_not_depend_on_its_neighbours() -> None:
    head, (features, whole) = random_head(), inputs(9, 5)
    judged, kinds = head.forward(features, whole)
    assert judged.shape == (9, len(OUTPUTS))
    assert kinds.shape == (9, 5, len(FAULTS))
    for row in range(9):
        alone = head.forward(features[row : row + 1], whole[row : row + 1])
        np.testing.assert_allclose(alone[0][0], judged[row], atol=1e-4)
        np.testing.assert_allclose(alone[1][0], kinds[row], atol=1e-4)


def test_the_order_of_the_channels_means_nothing() -> None:
    head, (features, whole) = random_head(), inputs(6, 7)
    order = np.random.default_rng(2).permutation(7)
    judged, kinds = head.forward(features, whole)
    shuffled = head.forward(features[:, order], whole)
    np.testing.assert_allclose(shuffled[0], judged, atol=1e-4)
    np.testing.assert_allclose(shuffled[1], kinds[:, order], atol=1e-4)


def test_pooling_takes_the_mean_the_largest_and_the_top_few() -> None:
    tokens = np.array([[[1.0], [5.0], [3.0], [2.0], [0.0]]], np.float32)
    np.testing.assert_allclose(pool(tokens), [[11 / 5, 5.0, 10 / TOP]])
    np.testing.assert_allclose(pool(tokens[:, :2]), [[3.0, 5.0, 6 / TOP]])


def test_a_window_listens_to_its_best_experts() -> None:
    logits = np.random.default_rng(0).standard_normal((50, E)).astype(np.float32)
    chosen, weight = route(logits, ACTIVE)
    np.testing.assert_allclose(weight.sum(1), 1.0, rtol=1e-6)
    for row in range(50):
        assert set(chosen[row]) == set(np.argsort(logits[row])[-ACTIVE:])
    np.testing.assert_array_equal(route(np.zeros((1, 4), np.float32), 2)[0], [[3, 2]])


def test_one_expert_is_a_dense_network_and_only_active_parameters_work() -> None:
    dense, sparse = random_head(experts=1), random_head()
    assert dense.size()[0] == dense.size()[1]
    expert = sum(getattr(sparse, name).size for name in ("W1", "b1", "W2", "b2")) // E
    assert sparse.size()[0] - sparse.size()[1] == (E - ACTIVE) * expert


def test_four_bits_hold_a_weight_to_half_a_step_of_its_block() -> None:
    weight = random_head().W1
    packed, scale = quantize(weight)
    assert packed.nbytes == weight.size // 2
    step = np.repeat(scale, BLOCK, 2)
    assert (np.abs(dequantize(packed, scale) - weight) <= 0.5001 * step).all()
    assert not dequantize(*quantize(np.zeros((1, 2, BLOCK), np.float32))).any()


@pytest.mark.parametrize("channels", [1, 2, 3, 40])
def test_the_graph_computes_what_the_rounded_head_does(channels: int) -> None:
    head, (features, whole) = random_head(), inputs(11, channels)
    session = onnxruntime.InferenceSession(head_graph.build(head, channels), providers=["CPUExecutionProvider"])
    judged, kinds = session.run(["judged", "kinds"], {"features": features, "whole": whole})
    expected = head.rounded().forward(features, whole)
    np.testing.assert_allclose(judged, expected[0], atol=1e-4)
    np.testing.assert_allclose(kinds, expected[1], atol=1e-4)
    assert np.abs(judged - head.forward(features, whole)[0]).max() > 1e-4, "it is quantized"
