"""The fault head: learns from self-made faults, and the shipped one knows them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from models.head import ACTIVE, EXPERTS, FEATURES, HIDDEN, SHIPPED, WINDOW_ROWS, Head, features, gradients, route, train
from models.inject import FAULTS, residual_windows
from tests.models.plants import Float64s


def accuracy(head: Head, seed: int, count: int = 4000) -> float:
    residual, unchanged, fault = residual_windows(count, WINDOW_ROWS, np.random.default_rng(seed))
    return float((head.logits(features(residual, unchanged)).argmax(1) == fault).mean())


@pytest.fixture(scope="module")
def shipped() -> Head:
    return Head.load()


def test_the_shipped_head_knows_the_faults_in_windows_it_never_saw(shipped: Head) -> None:
    assert accuracy(shipped, seed=12345) >= 0.8


def test_the_shipped_head_knows_each_fault(shipped: Head) -> None:
    residual, unchanged, fault = residual_windows(7000, WINDOW_ROWS, np.random.default_rng(4))
    found = shipped.logits(features(residual, unchanged)).argmax(1)
    recall = {name: float((found[fault == number] == number).mean()) for number, name in enumerate(FAULTS)}
    assert min(recall.values()) > 0.5, recall


def test_a_few_steps_of_training_beat_chance_by_far() -> None:
    shares: list[float] = []
    head = train(seed=3, steps=150, batch=128, progress=shares.append)
    assert accuracy(head, seed=99) > 4 / len(FAULTS)
    assert shares[-1] == 1.0
    assert shares == sorted(shares)


def test_training_is_reproducible() -> None:
    one, other = train(seed=5, steps=3, batch=64), train(seed=5, steps=3, batch=64)
    assert all(np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(Head))
    assert not np.array_equal(one.W1, train(seed=6, steps=3, batch=64).W1)


def test_the_weights_survive_the_disk(shipped: Head, tmp_path: Path) -> None:
    shipped.save(tmp_path / "head.npz")
    again = Head.load(tmp_path / "head.npz")
    assert all(np.array_equal(getattr(shipped, f.name), getattr(again, f.name)) for f in fields(Head))
    assert SHIPPED.stat().st_size < 200_000


def loss(weights: dict[str, Float64s], z: Float64s, logits: Float64s, fault: np.ndarray) -> float:
    """Mean cross-entropy, written down from the definition, one row and one expert at a time."""
    total = 0.0
    for row, (x, label) in enumerate(zip(z, fault, strict=True)):
        best = np.argsort(-logits[row])[:ACTIVE]
        share = np.exp(logits[row, best]) / np.exp(logits[row, best]).sum()
        out = np.zeros(FEATURES)
        for expert, weight in zip(best, share, strict=True):
            hidden = np.maximum(weights["W1"][expert] @ x + weights["b1"][expert], 0.0)
            out += weight * (weights["W2"][expert] @ hidden + weights["b2"][expert])
        out = out[: len(FAULTS)]
        total -= out[label] - np.log(np.exp(out).sum())
    return total / len(z)


@pytest.mark.parametrize("name", ["W1", "b1", "W2", "b2"])
def test_gradients_agree_with_finite_differences(name: str) -> None:
    rng = np.random.default_rng(7)
    weights = {
        "W1": rng.normal(0.0, 0.3, (EXPERTS, HIDDEN, FEATURES)),
        "b1": rng.normal(0.0, 0.3, (EXPERTS, HIDDEN)),
        "W2": rng.normal(0.0, 0.3, (EXPERTS, FEATURES, HIDDEN)),
        "b2": rng.normal(0.0, 0.3, (EXPERTS, FEATURES)),
    }
    z, logits = rng.normal(size=(12, FEATURES)), rng.normal(size=(12, EXPERTS))
    fault = rng.integers(len(FAULTS), size=12)
    gradient = gradients(weights, z, logits, fault)[name]
    strong = np.argsort(-np.abs(gradient), axis=None)[:8]
    any_eight = rng.integers(gradient.size, size=8)
    for index in zip(*np.unravel_index(np.concatenate([strong, any_eight]), gradient.shape), strict=True):
        step = np.zeros_like(gradient)
        step[index] = 1e-5
        above, below = (loss(weights | {name: weights[name] + s}, z, logits, fault) for s in (step, -step))
        assert gradient[index] == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-8)


def test_a_row_listens_to_its_two_best_experts() -> None:
    logits = np.random.default_rng(0).normal(size=(50, EXPERTS))
    chosen, weight = route(logits)
    np.testing.assert_allclose(weight.sum(1), 1.0)
    for row in range(50):
        assert set(chosen[row]) == set(np.argsort(logits[row])[-ACTIVE:])
        softmax = np.exp(logits[row]) / np.exp(logits[row]).sum()
        np.testing.assert_allclose(weight[row], softmax[chosen[row]] / softmax[chosen[row]].sum())


def test_all_experts_have_work(shipped: Head) -> None:
    residual, unchanged, _ = residual_windows(4000, WINDOW_ROWS, np.random.default_rng(1))
    z = (features(residual, unchanged) - shipped.centre) / shipped.scale
    chosen, _ = route(z @ shipped.router + shipped.router_bias)
    assert np.bincount(chosen.ravel(), minlength=EXPERTS).min() > 0


def test_features_are_finite_whatever_the_window() -> None:
    windows = np.stack([np.zeros(WINDOW_ROWS), np.full(WINDOW_ROWS, 1e6), np.linspace(-1e6, 1e6, WINDOW_ROWS)])
    found = features(windows, np.ones(windows.shape))
    assert found.shape == (3, FEATURES)
    assert np.isfinite(found).all()


def windows_with(fault: str, seed: int = 0, count: int = 3000) -> tuple[Float64s, Float64s]:
    residual, unchanged, drawn = residual_windows(count, WINDOW_ROWS, np.random.default_rng(seed))
    return residual[drawn == FAULTS.index(fault)], unchanged[drawn == FAULTS.index(fault)]


def test_healthy_windows_have_unit_variance_and_faulty_ones_more_power() -> None:
    healthy = float((windows_with("none")[0] ** 2).mean())
    assert 0.8 < healthy < 1.5
    for fault in FAULTS[1:]:
        assert float((windows_with(fault)[0][:, -8:] ** 2).mean()) > 2.0 * healthy, fault


def test_a_stuck_value_does_not_change_any_more() -> None:
    assert (windows_with("stuck")[1][:, -7:] == 1.0).all(), "an onset leaves at least an eighth of the window"
    assert (windows_with("bias")[1][:, -7:] == 1.0).all(1).mean() < 0.2
