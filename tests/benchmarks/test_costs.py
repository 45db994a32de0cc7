"""What is measured of cost: child processes, the expert block against dense nets, packages on disk."""

from __future__ import annotations

import os
import sys
from dataclasses import fields, replace

import numpy as np
import onnxruntime as ort
import pytest

from benchmarks import expert_block, footprint, plant_week
from benchmarks.child import memory_mib, usage
from benchmarks.inference import interleaved
from benchmarks.result import BenchmarkError
from models.degradations import FAULTS
from models.fault_head import OUTPUTS, FaultHead, route
from models.features import FEATURES, GLOBALS

TOKENS, HIDDEN, EXPERTS, INNER = 7, 32, 4, 32


@pytest.fixture(scope="module")
def head() -> FaultHead:
    rng = np.random.default_rng(1)
    shapes = {
        "embed": (FEATURES, HIDDEN), "context": (3 * HIDDEN + GLOBALS, HIDDEN), "router": (HIDDEN, EXPERTS),
        "lift": (HIDDEN, HIDDEN), "W1": (EXPERTS, INNER, HIDDEN), "b1": (EXPERTS, INNER),
        "W2": (EXPERTS, HIDDEN, INNER), "b2": (EXPERTS, HIDDEN), "judge": (4 * HIDDEN, 16),
        "verdict": (16, len(OUTPUTS)), "kinds": (HIDDEN, len(FAULTS)),
    }
    shapes |= {f"{name}_bias": shape[-1:] for name, shape in shapes.items() if name[0] not in "Wb"}
    assert {field.name for field in fields(FaultHead)} == set(shapes)
    weights = {name: rng.normal(0.0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}
    return FaultHead(**weights).rounded()


def test_the_mixture_alone_computes_what_the_head_does(head: FaultHead) -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((TOKENS, HIDDEN)).astype(np.float32)
    logits = np.repeat(rng.standard_normal((1, EXPERTS)).astype(np.float32), TOKENS, 0)
    (y,) = ort.InferenceSession(expert_block.mixture(head, TOKENS)).run(["y"], {"x": x, "logits": logits})
    (chosen,), (gate,) = (part[:1] for part in route(logits, head.active))
    expected = sum(
        weight * (np.maximum(x @ head.W1[e].T + head.b1[e], 0) @ head.W2[e].T + head.b2[e])
        for e, weight in zip(chosen, gate, strict=True)
    )
    assert np.abs(y - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_dense_nets_have_the_size_they_are_compared_for(head: FaultHead) -> None:
    graph = ort.InferenceSession(expert_block.dense(HIDDEN, EXPERTS * INNER))
    (y,) = graph.run(["y"], {"x": np.zeros((TOKENS, HIDDEN), np.float32)})
    assert y.shape == (TOKENS, HIDDEN)
    four_bytes = 4 * (2 * EXPERTS * INNER * HIDDEN + EXPERTS * INNER + HIDDEN)
    assert four_bytes <= len(expert_block.dense(HIDDEN, EXPERTS * INNER)) <= four_bytes + 2000


def test_the_runtime_says_what_rounded_weights_say(head: FaultHead) -> None:
    assert expert_block.quantization_gap(head, TOKENS) < 1e-4


def test_rounding_that_the_weights_were_not_trained_for_would_be_seen(head: FaultHead) -> None:
    coarse = replace(head, W1=head.W1 + np.float32(0.05) * np.sign(head.W2.transpose(0, 2, 1)))
    assert expert_block.quantization_gap(coarse, TOKENS) > 1e-3


def test_steps_take_turns_and_the_longer_one_takes_longer() -> None:
    turns: list[str] = []
    long = {"long": lambda: turns.append("l" + str(sum(range(20_000))))}
    taken = interleaved({"short": lambda: turns.append("s"), **long})
    assert [turn[0] for turn in turns[:4]] == ["s", "l", "s", "l"]
    assert taken["long"] > taken["short"]


def test_a_child_is_measured_by_its_own_memory_and_time() -> None:
    small = usage([sys.executable, "-c", ""])
    large = usage([sys.executable, "-c", "x = b'1' * 80_000_000; print(sum(range(10**6)))"])
    assert 60 < large.peak_mib - small.peak_mib < 120
    assert small.peak_mib > 5
    assert large.cpu_s > 0
    assert small.peak_mib < memory_mib(os.getpid(), "VmHWM")


def test_a_child_that_fails_is_told_with_what_it_said() -> None:
    with pytest.raises(BenchmarkError, match=r"failed with 1: (?s:.*)ZeroDivisionError"):
        usage([sys.executable, "-c", "1 / 0"])


def test_the_plant_is_the_same_for_every_seed_and_no_two_weeks_are() -> None:
    one, again, other = plant_week.rows(4000, 1), plant_week.rows(4000, 1), plant_week.rows(4000, 2)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert np.abs(one[:3600].mean(0) - other[:3600].mean(0)).max() < 2.0
    assert np.abs(one[:3600].mean(0) - one[3600:].mean(0)).max() > 2.0


def test_everything_needed_at_run_time_is_counted_and_no_extra() -> None:
    assert "rich" in footprint.needed(["typer>=0"])
    assert not footprint.needed(["no-such-package; extra == 'dev'"])
    assert footprint.needed(footprint.runtime_requirements()) >= {"numpy", "onnxruntime", "asyncua"}
    with pytest.raises(BenchmarkError, match="no-such-package is not installed"):
        footprint.needed(["no-such-package"])


def test_shipped_bundles_are_small_enough() -> None:
    sizes = footprint.bundle_sizes()
    assert {figure.case for figure in sizes} >= {"bundle pump", "bundle press", "bundle conveyor"}
    assert all(footprint.BUNDLE_KB_MAX.met(figure.value) for figure in sizes)
