"""Training the fault head: torch computes what the shipped numpy head does, and learning helps."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'forewarn[train]'")

from models.degradations import FAULTS, PREVALENCE  # noqa: E402
from models.examples import Examples, collect, example  # noqa: E402  after the check that torch is there
from models.fault_head import FaultHead, dequantize, quantize  # noqa: E402
from models.network import Batch, Shape, forward, initial, rounded  # noqa: E402
from models.quality import logits, measure  # noqa: E402
from models.synthetic import Prior  # noqa: E402
from models.train import batch, batches, exported, prevalent, split, take, train  # noqa: E402

PRIOR = Prior(channels=(4, 9), healthy_rows=(300, 400), drift=0.0, amplitudes=(2.0, 6.0))
SHAPE = Shape(experts=4, inner=32, hidden=32, context=16, judge=16)


@pytest.fixture(scope="module")
def drawn() -> Examples:
    parts = [example(0, number, ((1.0, PRIOR),)) for number in range(80)]
    return Examples(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Examples)})


def test_torch_and_numpy_compute_the_same(drawn: Examples) -> None:
    weights = initial(SHAPE, 1)
    found = forward(weights, batch(drawn), quantized=False)
    judged, kinds = logits(exported(weights), drawn)
    np.testing.assert_allclose(found.whole.detach().numpy(), judged, atol=1e-3)
    real = np.arange(kinds.shape[1])[None] < drawn.channels[:, None]
    width = found.kinds.shape[1]
    np.testing.assert_allclose(found.kinds.detach().numpy()[real[:, :width]], kinds[real], atol=1e-3)


def test_padding_is_not_seen(drawn: Examples) -> None:
    part = batch(take(drawn, np.arange(24)))
    wider = Batch(*(torch.nn.functional.pad(t, (0, 0, 0, 5) if t.ndim == 3 else (0, 5) if t is part.real else (0, 0))
                    for t in (part.features, part.whole, part.real)))
    weights = initial(SHAPE, 2)
    one, other = forward(weights, part, quantized=True), forward(weights, wider, quantized=True)
    np.testing.assert_allclose(one.whole.detach().numpy(), other.whole.detach().numpy(), atol=1e-4)


def test_every_weight_learns(drawn: Examples) -> None:
    weights = initial(SHAPE, 3)
    found = forward(weights, batch(drawn), quantized=True)
    (found.whole.square().sum() + found.kinds.square().sum() + found.balance).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in weights.values())


def test_rounding_lets_the_gradient_through() -> None:
    weight = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    rounded(weight).sum().backward()
    assert weight.grad is not None
    np.testing.assert_array_equal(weight.grad.numpy(), np.ones((2, 3, 64)))


def test_torch_rounds_as_the_disk_does() -> None:
    weight = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(rounded(weight).numpy(), dequantize(*quantize(weight.numpy())), atol=1e-6)


def test_batches_hold_every_row_once_and_plants_of_a_size(drawn: Examples) -> None:
    seen = list(batches(drawn, np.random.default_rng(0)))
    assert sorted(np.concatenate(seen)) == list(range(len(drawn.fault)))


def test_the_plants_held_out_are_no_others(drawn: Examples) -> None:
    learnt, held_out = split(drawn, 24)
    assert len(learnt.fault) == 72 * 24
    assert len(held_out.fault) == 8 * 24


def test_training_is_reproducible_and_beats_the_floor(drawn: Examples) -> None:
    learnt, held_out = split(drawn, 24)
    shares: list[float] = []
    head = train(learnt, SHAPE, 5, epochs=12, progress=shares.append)
    again = train(learnt, SHAPE, 5, epochs=12)
    assert all(np.array_equal(getattr(head, f.name), getattr(again, f.name)) for f in fields(FaultHead))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    untrained = measure(exported(initial(SHAPE, 5)), held_out)
    found = measure(head, held_out)
    assert found.precision > max(untrained.precision, 0.8)
    assert found.kind > 2 / 11
    assert found.quiet > 0.6
    assert np.isnan(found.benign), "these plants know no benign change"


def test_types_that_occur_more_often_are_named_more_often() -> None:
    head = exported(initial(SHAPE, 6))
    raised = prevalent(head).kinds_bias - head.kinds_bias
    expected = [np.log(PREVALENCE.get(fault, 1.0)) for fault in FAULTS]
    np.testing.assert_allclose(raised, expected, atol=1e-6)
    assert raised[0] == 0.0


def test_drawing_in_processes_gives_the_same_plants(drawn: Examples) -> None:
    shares: list[float] = []
    few = collect(3, 0, ((1.0, PRIOR),), processes=2, progress=shares.append)
    np.testing.assert_array_equal(few.features, drawn.features[:72])
    np.testing.assert_array_equal(few.kind, drawn.kind[:72])
    assert shares[-1] == 1.0


def test_other_priors_give_other_plants() -> None:
    other = example(0, 0, ((1.0, replace(PRIOR, slow=1.0)),))
    assert not np.array_equal(example(0, 0, ((1.0, PRIOR),)).whole, other.whole)
