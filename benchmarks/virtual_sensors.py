"""What may be added to the floor: virtual sensors, which predict each channel from the others where the floor is wrong.

A virtual sensor sees a row in which its own channel is replaced by what the floor expects there, so that it cannot
copy it, and predicts what the floor leaves over. Nothing is added to a channel whose residual does not shrink on rows
that were kept aside for this choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from models.regimes import Float64s

if TYPE_CHECKING:
    import torch

GAIN_MIN: Final = 0.01
"""The share of a channel's squared residual that has to go, on the rows kept aside."""
FEATURES: Final = 300
SHRINKAGES: Final = (1.0, 10.0, 100.0, 1e3, 1e4)
HIDDEN: Final = 64
EPOCHS: Final = 40
PATIENCE: Final = 8
BATCH: Final = 256
CHANNELS_AT_ONCE: Final = 8
RATE: Final = 2e-3
INPUT_NOISE: Final = 0.03
_BOUND: Final = 5.0


@dataclass(frozen=True, slots=True)
class Rows:
    """N standardised rows `x` f64[N, U], and of the S scored channels, which come first, what the floor leaves.

    `offset` f64[N, S] is measured minus expected given all other channels, `residual` f64[N, S] the same in its
    standard deviations.
    """

    x: Float64s
    offset: Float64s
    residual: Float64s

    def bounded(self) -> Rows:
        """Return the rows with all that is seen, measured or expected, within what may be learnt from."""
        x, residual = np.clip(self.x, -_BOUND, _BOUND), np.clip(self.residual, -_BOUND, _BOUND)
        scored = self.offset.shape[1]
        expected = np.clip(self.x[:, :scored] - self.offset, -_BOUND, _BOUND)
        return Rows(x, x[:, :scored] - expected, residual)


Correction = Callable[[Rows], Float64s]
"""Returns what to take from the residual, f64[N, S]."""
Learn = Callable[[Rows, Rows, int], Correction]
"""Learns from the first rows, makes its choices on the second ones; the last argument is the seed."""


def random_features(learnt: Rows, aside: Rows, seed: int) -> Correction:
    """Learn by ridge regression on random Fourier features (Rahimi, Recht, NIPS 2007): closed form, numpy alone."""
    rng = np.random.default_rng(seed)
    channels = learnt.x.shape[1]
    mix = rng.standard_normal((channels, FEATURES)) / np.sqrt(channels)
    phase = rng.uniform(0.0, 2.0 * np.pi, FEATURES)
    learnt, aside = learnt.bounded(), aside.bounded()

    def features(rows: Rows, channel: int) -> Float64s:
        x = rows.x.copy()
        x[:, channel] -= rows.offset[:, channel]
        return np.hstack([x, np.cos(x @ mix + phase), np.ones((len(x), 1))])

    weights = np.zeros((learnt.residual.shape[1], channels + FEATURES + 1))
    for channel in range(len(weights)):
        known, tried = features(learnt, channel), features(aside, channel)
        target, truth = learnt.residual[:, channel], aside.residual[:, channel]
        least = (1.0 - GAIN_MIN) * float((truth**2).mean())
        gram, pull = known.T @ known, known.T @ target
        for shrinkage in SHRINKAGES:
            weight = np.linalg.solve(gram + shrinkage * np.eye(len(gram)), pull)
            error = float(((truth - tried @ weight) ** 2).mean())
            if error < least:
                least, weights[channel] = error, weight

    def correction(rows: Rows) -> Float64s:
        bounded = rows.bounded()
        return np.stack([features(bounded, channel) @ weight for channel, weight in enumerate(weights)], 1)

    return correction


def network(learnt: Rows, aside: Rows, seed: int) -> Correction:
    """Learn one network of two hidden layers for all channels by AdamW, stopped early; needs torch."""
    import torch

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(seed)
    weights = _initial(learnt.x.shape[1], learnt.residual.shape[1], generator)
    optimiser = torch.optim.AdamW(weights.values(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    x, offset, target = _tensors(learnt)
    channels = target.shape[1]
    at_once = min(channels, CHANNELS_AT_ONCE)
    steps = max(len(x) // BATCH, 8) * max(channels // at_once, 1)
    truth = aside.bounded().residual
    least, best, worse = float((truth**2).mean()), np.zeros(channels, np.bool_), 0
    kept: dict[str, torch.Tensor] = {}
    for _ in range(EPOCHS):
        for _ in range(steps):
            rows = torch.randint(len(x), (min(BATCH, len(x)),), generator=generator)
            some = torch.randperm(channels, generator=generator)[:at_once]
            seen = x[rows] + INPUT_NOISE * torch.randn(len(rows), x.shape[1], generator=generator)
            said = _forward(weights, seen, offset[rows], some)
            loss = torch.nn.functional.huber_loss(said, target[rows][:, some], delta=2.0)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
        left = (truth - _predict(weights, aside)) ** 2
        if left.mean() < least:
            least, worse = float(left.mean()), 0
            kept = {name: weight.detach().clone() for name, weight in weights.items()}
            best = left.mean(0) < (1.0 - GAIN_MIN) * (truth**2).mean(0)
        else:
            worse += 1
            if worse == PATIENCE:
                break
    return lambda rows: _predict(kept, rows) * best if kept else np.zeros_like(rows.residual)


def _initial(used: int, scored: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    import torch

    spreads = {
        "in": ((used, HIDDEN), used**-0.5),
        "who": ((scored, HIDDEN), 0.3),
        "inner": ((HIDDEN, HIDDEN), HIDDEN**-0.5),
        "out": ((scored, HIDDEN), 0.01),
    }
    weights = {name: torch.randn(*size, generator=generator) * by for name, (size, by) in spreads.items()}
    weights |= {"inner_bias": torch.zeros(HIDDEN), "out_bias": torch.zeros(scored)}
    return {name: weight.requires_grad_() for name, weight in weights.items()}


def _forward(
    weights: dict[str, torch.Tensor], x: torch.Tensor, offset: torch.Tensor, some: torch.Tensor
) -> torch.Tensor:
    """Return f32[N, C] what is said of the channels `some` i64[C] of rows x f32[N, U]."""
    import torch

    silu = torch.nn.functional.silu
    own = offset[:, some, None] * weights["in"][some]  # what the first layer must not see of the channel itself
    hidden = silu((x @ weights["in"])[:, None] - own + weights["who"][some])
    hidden = silu(hidden @ weights["inner"] + weights["inner_bias"])
    return (hidden * weights["out"][some]).sum(2) + weights["out_bias"][some]


def _predict(weights: dict[str, torch.Tensor], rows: Rows) -> Float64s:
    import torch

    x, offset, residual = _tensors(rows)
    every = torch.arange(residual.shape[1])
    with torch.no_grad():
        parts = [_forward(weights, *part, every) for part in zip(x.split(1024), offset.split(1024), strict=True)]
    return torch.cat(parts).numpy().astype(np.float64)


def _tensors(rows: Rows) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    import torch

    bounded = rows.bounded()
    x, offset, residual = (torch.tensor(p, dtype=torch.float32) for p in (bounded.x, bounded.offset, bounded.residual))
    return x, offset, residual
