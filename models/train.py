"""Trains the universal fault head on random plants; needs torch (the extra `train`), never imported at run time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace

import numpy as np
import numpy.typing as npt
import torch

from models.degradations import FAULTS, PREVALENCE
from models.examples import Examples
from models.fault_head import FaultHead
from models.network import BALANCE, Batch, Logits, Shape, Weights, forward, initial

Ints = npt.NDArray[np.intp]

BATCH = 256
EPOCHS = 10
RATE = 3e-3
DECAY = 1e-3
HELD_OUT = 0.1
"""Share of the plants that no network sees while it is trained: every choice is made on them."""
KINDS_WEIGHT = 4.0
ASIDE_WEIGHT = 0.3


def split(examples: Examples, rows_per_plant: int) -> tuple[Examples, Examples]:
    """Cut off the last plants; return the examples to train on and those to choose on."""
    rows = len(examples.fault)
    kept = int(rows / rows_per_plant * (1.0 - HELD_OUT)) * rows_per_plant
    return take(examples, np.arange(kept)), take(examples, np.arange(kept, rows))


def take(examples: Examples, rows: Ints) -> Examples:
    """Return some of the rows."""
    return replace(examples, **{f.name: getattr(examples, f.name)[rows] for f in fields(Examples)})


def train(
    examples: Examples,
    shape: Shape,
    seed: int,
    *,
    epochs: int = EPOCHS,
    progress: Callable[[float], None] = lambda _share: None,
) -> FaultHead:
    """Train a head by AdamW under the one-cycle rate (Smith, Topin 2019), with its experts rounded to 4 bits."""
    torch.set_num_threads(1)  # more of them add in another order, and the head would depend on the machine
    weights = initial(shape, seed)
    matrices = [w for w in weights.values() if w.ndim > 1]
    optimiser = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": DECAY},
            {"params": [w for w in weights.values() if w.ndim == 1], "weight_decay": 0.0},
        ],
        lr=RATE,
    )
    rng = np.random.default_rng(seed)
    steps = epochs * sum(1 for _ in batches(examples, np.random.default_rng(0)))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps + 1)
    done = 0
    for _ in range(epochs):
        for rows in batches(examples, rng):
            part = take(examples, rows)
            loss = objective(forward(weights, batch(part), quantized=True), part)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
            optimiser.step()
            schedule.step()
            done += 1
            progress(done / steps)
    return prevalent(exported(weights))


def prevalent(head: FaultHead) -> FaultHead:
    """Return the head with the logits of its fault types raised by the logarithms of their PREVALENCE."""
    raised = np.log([PREVALENCE.get(fault, 1.0) for fault in FAULTS]).astype(np.float32)
    return replace(head, kinds_bias=head.kinds_bias + raised)


def batches(examples: Examples, rng: np.random.Generator) -> Iterator[Ints]:
    """Give the rows in random batches of plants with about as many channels, so that little is padding."""
    order = rng.permutation(len(examples.fault))
    order = order[np.argsort(-(-examples.channels[order] // 8), kind="stable")]
    parts = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    for number in rng.permutation(len(parts)):
        yield parts[number]


def batch(part: Examples) -> Batch:
    """Return the rows as tensors, with no more padding than the widest of them needs."""
    width = max(int(part.channels.max()), 3)
    real = np.arange(width)[None] < part.channels[:, None]
    return Batch(
        torch.from_numpy(part.features[:, :width].astype(np.float32)),
        torch.from_numpy(part.whole),
        torch.from_numpy(real.astype(np.float32)),
    )


def objective(logits: Logits, part: Examples) -> torch.Tensor:
    """Return the loss: cross-entropies of the judgements and of the channels' fault types, and the load balance."""
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    truth = torch.from_numpy(np.stack([part.fault, part.benign, part.failing], 1))
    weight = torch.from_numpy(np.stack([part.certain, *([np.full_like(part.certain, ASIDE_WEIGHT)] * 2)], 1))
    judged = loss(logits.whole, truth, weight)
    width = logits.kinds.shape[1]
    kind = torch.from_numpy(part.kind[:, :width].astype(np.int64))
    real = torch.from_numpy(np.arange(width)[None] < part.channels[:, None])
    each = torch.nn.functional.cross_entropy(logits.kinds.transpose(1, 2), kind.clamp_min(0), reduction="none")
    # Of a window the struck channels, few or many, count as much as the healthy ones.
    kinds = sum((_mean(each, group & real) for group in (kind > 0, kind == 0)), torch.zeros(()))
    return 3.0 * judged + KINDS_WEIGHT * kinds + BALANCE * logits.balance


def _mean(x: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Return the mean over the windows with chosen channels of the mean of x f32[N, S] over these."""
    count = chosen.sum(1)
    return ((x * chosen).sum(1) / count.clamp_min(1)).sum() / (count > 0).sum().clamp_min(1)


def exported(weights: Weights) -> FaultHead:
    """Return the weights as the numpy head."""
    return FaultHead(**{name: weight.detach().numpy().astype(np.float32) for name, weight in weights.items()})
