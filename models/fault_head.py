"""The universal fault head: a small sparse mixture of experts over the channels of any plant.

Every channel is one token. The tokens and the statistics of the whole are pooled into a context, which routes the
window, once, to `active` of the experts; these refine the tokens; a second pooling judges the whole. It is trained by
`models.train` on random plants (`models.synthetic`) and shipped as arrays; `models.head_graph` writes it into a graph.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from models.features import FEATURES, GLOBALS

Float32s = npt.NDArray[np.float32]
Float16s = npt.NDArray[np.float16]

SHIPPED = Path(__file__).parent / "bundles" / "fault_head.npz"
OUTPUTS = ("fault", "benign", "failing")
"""The judgements on the whole, in the order of the head's outputs: a fault, a benign change, a failure in sight."""
TOP = 3
"""A pool takes the mean, the largest and the mean of the TOP largest of the channels."""
ACTIVE = 2
EXPERT_MATRICES = ("W1", "W2")
"""These are kept in 4 bits, on the disk and in the graph, all other weights in 16-bit floating point."""
BITS = 4
BLOCK = 32
"""So many weights of an output row share one scale."""
LARGEST, _ZERO = 7, 8
SMALLEST = 1e-5
"""The least that a block's largest weight counts for: a smaller scale could not be told from none in 16 bits."""


class HeadError(ValueError):
    """The file does not hold a fault head of this version: what is wrong with it."""


@dataclass(frozen=True, slots=True)
class FaultHead:
    """Weights. F features, G global values, H hidden units a token, C of the context, E experts of I inner units.

    `embed` f32[F, H]; `context` f32[3 H + G, C]; `router` f32[C, E]; `lift` f32[C, H] tells the tokens the context;
    expert e is W2 relu(W1 x + b1) + b2 with `W1` f32[E, I, H], `b1` f32[E, I], `W2` f32[E, H, I], `b2` f32[E, H], of
    which H and I are multiples of BLOCK;
    `judge` f32[3 H + C, J] and `verdict` f32[J, 3] judge the whole, `kinds` f32[H, K] each channel. Each matrix has a
    bias named after it.
    """

    embed: Float32s
    embed_bias: Float32s
    context: Float32s
    context_bias: Float32s
    router: Float32s
    router_bias: Float32s
    lift: Float32s
    lift_bias: Float32s
    W1: Float32s
    b1: Float32s
    W2: Float32s
    b2: Float32s
    judge: Float32s
    judge_bias: Float32s
    verdict: Float32s
    verdict_bias: Float32s
    kinds: Float32s
    kinds_bias: Float32s

    @classmethod
    def load(cls, path: Path = SHIPPED) -> Self:
        """Read weights that `save` wrote. Raises HeadError where some are missing or the features are others."""
        with np.load(path) as stored:
            names = [f.name for f in fields(cls)] + [f"{name}_scale" for name in EXPERT_MATRICES]
            missing = [name for name in names if name not in stored]
            if missing:
                raise HeadError(f"{path} is not a fault head, it lacks {', '.join(missing)}: train it anew")
            weights = {name: stored[name] for name in names}
        for name in EXPERT_MATRICES:
            weights[name] = dequantize(weights[name], weights.pop(f"{name}_scale"))
        head = cls(**{name: weight.astype(np.float32) for name, weight in weights.items()})
        if head.embed.shape[0] != FEATURES or len(head.context) != 3 * head.embed.shape[1] + GLOBALS:
            raise HeadError(f"{path} was trained on other features than this version computes: train it anew")
        return head

    def save(self, path: Path, **record: str) -> None:
        """Write the rounded weights as a compressed archive, and beside them how they came about."""
        arrays: dict[str, Any] = {f.name: getattr(self, f.name).astype(np.float16) for f in fields(self)}
        for name in EXPERT_MATRICES:
            arrays[name], arrays[f"{name}_scale"] = quantize(getattr(self, name))
        np.savez_compressed(path, **arrays | {name: np.array(text) for name, text in record.items()})

    @property
    def experts(self) -> int:
        """How many experts there are."""
        return len(self.W1)

    @property
    def active(self) -> int:
        """How many experts see a window."""
        return min(ACTIVE, self.experts)

    def size(self) -> tuple[int, int]:
        """Return how many parameters there are, and how many of them work on one window."""
        total = sum(getattr(self, f.name).size for f in fields(self))
        experts = sum(getattr(self, name).size for name in ("W1", "b1", "W2", "b2"))
        return total, total - experts + experts * self.active // self.experts

    def rounded(self) -> Self:
        """Return the head as the disk and the graph hold it."""
        halved = {f.name: getattr(self, f.name).astype(np.float16).astype(np.float32) for f in fields(self)}
        experts = {name: dequantize(*quantize(getattr(self, name))) for name in EXPERT_MATRICES}
        return replace(self, **halved | experts)

    def forward(self, features: Float32s, whole: Float32s) -> tuple[Float32s, Float32s]:
        """Return the logits of the whole f32[N, 3] and of each channel's fault type f32[N, S, K].

        `features` f32[N, S, F], `whole` f32[N, G]. The reference for the graph, in float32 and without quantization.
        """
        tokens = _relu(features @ self.embed + self.embed_bias)  # (N, S, H)
        context = _relu(np.hstack([pool(tokens), whole]) @ self.context + self.context_bias)  # (N, C)
        tokens = tokens + (context @ self.lift + self.lift_bias)[:, None]
        chosen, gate = route(context @ self.router + self.router_bias, self.active)  # (N, k)
        refined = tokens.copy()
        for expert in np.unique(chosen):
            windows, slot = np.nonzero(chosen == expert)
            inner = _relu(tokens[windows] @ self.W1[expert].T + self.b1[expert])
            refined[windows] += gate[windows, slot, None, None] * (inner @ self.W2[expert].T + self.b2[expert])
        refined = _relu(refined)
        judged = _relu(np.hstack([pool(refined), context]) @ self.judge + self.judge_bias)
        return judged @ self.verdict + self.verdict_bias, refined @ self.kinds + self.kinds_bias


def quantize(weight: Float32s) -> tuple[npt.NDArray[np.uint8], Float16s]:
    """Return weights f32[E, N, K] as symmetric 4-bit integers around 8 and their scales f16[E, N, K / BLOCK].

    Two integers share a byte of u8[E, N, K / 2], the earlier one in its lower half.
    """
    blocks = weight.reshape(*weight.shape[:2], -1, BLOCK)
    scale = (np.maximum(np.abs(blocks).max(3), SMALLEST) / LARGEST).astype(np.float16)
    whole = (np.round(blocks / scale[..., None].astype(np.float32)) + _ZERO).astype(np.uint8).reshape(weight.shape)
    return whole[..., 0::2] | whole[..., 1::2] << 4, scale


def dequantize(packed: npt.NDArray[np.uint8], scale: Float16s) -> Float32s:
    """Return the weights f32[E, N, K] that `quantize` made integers of."""
    whole = np.stack([packed & 15, packed >> 4], 3).reshape(*scale.shape, BLOCK)
    weight = (whole.astype(np.float32) - np.float32(_ZERO)) * scale[..., None].astype(np.float32)
    return weight.reshape(*packed.shape[:2], -1)


def pool(tokens: Float32s) -> Float32s:
    """Return f32[N, 3 H]: mean, largest and mean of the TOP largest of tokens f32[N, S, H], none negative."""
    largest = -np.sort(-tokens, axis=1)[:, :TOP]
    return np.hstack([tokens.mean(1), largest[:, 0], largest.sum(1) / TOP])


def route(logits: Float32s, active: int) -> tuple[npt.NDArray[np.intp], Float32s]:
    """Return the best experts of each window i[N, k] and their weights, the softmax over these f32[N, k]."""
    # Ties go to the higher index, as in the graph.
    chosen = logits.shape[1] - 1 - np.argsort(-logits[:, ::-1], 1, kind="stable")[:, :active]
    best = np.take_along_axis(logits, chosen, 1)
    weight = np.exp(best - best.max(1, keepdims=True))
    return chosen, weight / weight.sum(1, keepdims=True)


def _relu(x: Float32s) -> Float32s:
    return np.maximum(x, np.float32(0))
