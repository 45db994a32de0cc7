"""The universal fault head: a small sparse mixture of experts over one tag's window, trained on self-made faults.

It sees the same features of any tag of any plant, so it is trained once, on `models.inject`, and shipped in every
bundle. `python -m models.head --seed 0` rebuilds the shipped weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from models.inject import FAULTS, residual_windows

Float64s = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

WINDOW_ROWS = 64
FEATURES = 16
HIDDEN = 32
EXPERTS = 16
ACTIVE = 2
SHIPPED = Path(__file__).parent / "bundles" / "head.npz"


def kernels() -> dict[str, Float64s]:
    """Return the causal averaging kernels of the features, each f64[n, WINDOW_ROWS], the newest row last.

    `linear` acts on the residual, `square` on its square, `change` on the square of its first difference, `still`
    on the share of raw values that did not change.
    """

    def mean_of_last(rows: int) -> Float64s:
        return np.where(np.arange(WINDOW_ROWS) >= WINDOW_ROWS - rows, 1.0 / rows, 0.0)

    slope = np.linspace(-1.0, 1.0, WINDOW_ROWS)
    halves = mean_of_last(WINDOW_ROWS // 2) * 2 - mean_of_last(WINDOW_ROWS)
    return {
        "linear": np.stack([*(mean_of_last(n) for n in (1, 4, 8, 16, 32, 64)), slope / (slope**2).sum(), halves]),
        "square": np.stack([mean_of_last(n) for n in (8, 16, 64)]),
        "change": np.stack([mean_of_last(n) for n in (8, 16, 63)]),  # the oldest row has no predecessor
        "still": np.stack([mean_of_last(n) for n in (16, 48)]),
    }


def features(residual: Float64s, unchanged: Float64s) -> Float64s:
    """Return features f64[N, FEATURES] of residual windows f64[N, WINDOW_ROWS]: logs of means and mean squares."""
    kernel = kernels()
    change = np.diff(residual, axis=1, prepend=residual[:, :1])
    linear = residual @ kernel["linear"].T
    return np.hstack(
        [
            np.sign(linear) * np.log1p(np.abs(linear)),
            np.log(residual**2 @ kernel["square"].T + 1e-2),
            np.log(change**2 @ kernel["change"].T + 1e-2),
            unchanged @ kernel["still"].T,
        ]
    )


@dataclass(frozen=True, slots=True)
class Head:
    """Weights of the head. F features, E experts of H hidden units, O fault types padded to F outputs.

    Features are standardised by `centre` and `scale` f32[F]; the router is linear: `router` f32[F, E] and
    `router_bias` f32[E]; expert e is W2 relu(W1 x + b1) + b2 with `W1` f32[E, H, F], `b1` f32[E, H], `W2` f32[E, F,
    H], `b2` f32[E, F].
    """

    centre: Float32s
    scale: Float32s
    router: Float32s
    router_bias: Float32s
    W1: Float32s
    b1: Float32s
    W2: Float32s
    b2: Float32s

    @classmethod
    def load(cls, path: Path = SHIPPED) -> Self:
        """Read weights that `save` wrote."""
        with np.load(path) as stored:
            return cls(**{name: stored[name] for name in cls.__slots__})

    def save(self, path: Path = SHIPPED) -> None:
        """Write the weights as a compressed archive."""
        np.savez_compressed(path, **{name: getattr(self, name) for name in self.__slots__})

    def logits(self, x: Float64s) -> Float64s:
        """Return the fault logits f64[N, O] of raw features f64[N, F]: the reference for the quantized graph."""
        z = (x - self.centre) / self.scale
        chosen, weight = route(z @ self.router + self.router_bias)
        out = np.zeros((len(z), FEATURES))
        for expert in range(len(self.W1)):
            rows, slot = np.nonzero(chosen == expert)
            hidden = np.maximum(z[rows] @ self.W1[expert].T + self.b1[expert], 0.0)
            out[rows] += weight[rows, slot, None] * (hidden @ self.W2[expert].T + self.b2[expert])
        return out[:, : len(FAULTS)]


def route(logits: Float64s) -> tuple[Ints, Float64s]:
    """Return the ACTIVE best experts of each row, i[N, ACTIVE], and their weights, softmax over these f[N, ACTIVE]."""
    chosen = np.argsort(-logits, 1, kind="stable")[:, :ACTIVE]
    best = np.take_along_axis(logits, chosen, 1)
    weight = np.exp(best - best.max(1, keepdims=True))
    return chosen, weight / weight.sum(1, keepdims=True)


def train(
    seed: int, steps: int = 4000, batch: int = 512, progress: Callable[[float], None] = lambda _share: None
) -> Head:
    """Train a head on freshly drawn windows by Adam on the cross-entropy; the router is k-means of the features."""
    rng = np.random.default_rng(seed)
    sample = features(*residual_windows(20_000, WINDOW_ROWS, rng)[:2])
    centre, scale = sample.mean(0), sample.std(0)
    centres = _centres((sample - centre) / scale, rng)
    weights = {
        "W1": rng.standard_normal((EXPERTS, HIDDEN, FEATURES)) * np.sqrt(2 / FEATURES),
        "b1": np.zeros((EXPERTS, HIDDEN)),
        "W2": rng.standard_normal((EXPERTS, FEATURES, HIDDEN)) * np.sqrt(1 / HIDDEN),
        "b2": np.zeros((EXPERTS, FEATURES)),
    }
    # Softmax of minus half the squared distance: a row listens to the two experts whose windows look most like it.
    router, router_bias = centres.T, -0.5 * (centres**2).sum(1)
    moments = {name: (np.zeros_like(w), np.zeros_like(w)) for name, w in weights.items()}
    for step in range(steps):
        residual, unchanged, fault = residual_windows(batch, WINDOW_ROWS, rng)
        z = (features(residual, unchanged) - centre) / scale
        downhill = gradients(weights, z, z @ router + router_bias, fault)
        rate = 3e-3 * 0.5 * (1 + np.cos(np.pi * step / steps))
        for name, gradient in downhill.items():
            _adam(weights[name], gradient, moments[name], rate, step)
        progress((step + 1) / steps)
    parts = {"centre": centre, "scale": scale, "router": router, "router_bias": router_bias, **weights}
    return Head(**{name: value.astype(np.float32) for name, value in parts.items()})


def _centres(z: Float64s, rng: np.random.Generator) -> Float64s:
    centres = z[rng.choice(len(z), EXPERTS, replace=False)]
    for _ in range(20):
        nearest = np.argmax(z @ centres.T - 0.5 * (centres**2).sum(1), 1)
        centres = np.stack([z[nearest == e].mean(0) if (nearest == e).any() else centres[e] for e in range(EXPERTS)])
    return centres


def gradients(weights: dict[str, Float64s], z: Float64s, logits: Float64s, fault: Ints) -> dict[str, Float64s]:
    """Return the gradients of the mean cross-entropy with respect to every expert's weights."""
    chosen, gate = route(logits)
    passes = []
    out = np.zeros((len(z), FEATURES))
    for expert in range(EXPERTS):
        rows, slot = np.nonzero(chosen == expert)
        hidden = np.maximum(z[rows] @ weights["W1"][expert].T + weights["b1"][expert], 0.0)  # (n, H)
        out[rows] += gate[rows, slot, None] * (hidden @ weights["W2"][expert].T + weights["b2"][expert])
        passes.append((rows, gate[rows, slot, None], hidden))
    error = np.zeros_like(out)
    odds = np.exp(out[:, : len(FAULTS)] - out[:, : len(FAULTS)].max(1, keepdims=True))
    error[:, : len(FAULTS)] = odds / odds.sum(1, keepdims=True)
    error[np.arange(len(z)), fault] -= 1.0
    error /= len(z)
    found = {name: np.zeros_like(w) for name, w in weights.items()}
    for expert, (rows, share, hidden) in enumerate(passes):
        upstream = share * error[rows]  # (n, F)
        below = (upstream @ weights["W2"][expert]) * (hidden > 0)  # (n, H)
        found["W2"][expert], found["b2"][expert] = upstream.T @ hidden, upstream.sum(0)
        found["W1"][expert], found["b1"][expert] = below.T @ z[rows], below.sum(0)
    return found


def _adam(weight: Float64s, gradient: Float64s, moments: tuple[Float64s, Float64s], rate: float, step: int) -> None:
    """Take one step of Kingma and Ba, "Adam" (2015), in place."""
    first, second = moments
    first += 0.1 * (gradient - first)
    second += 0.001 * (gradient**2 - second)
    weight -= rate * (first / (1 - 0.9 ** (step + 1))) / (np.sqrt(second / (1 - 0.999 ** (step + 1))) + 1e-8)


def _main() -> None:
    from argparse import ArgumentParser

    from rich.progress import Progress

    parser = ArgumentParser(prog="python -m models.head", description="Train the shipped fault head anew.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    arguments = parser.parse_args()
    with Progress() as bar:
        task = bar.add_task("training the fault head", total=1.0)
        train(arguments.seed, progress=lambda share: bar.update(task, completed=share)).save(arguments.out)


if __name__ == "__main__":
    _main()
