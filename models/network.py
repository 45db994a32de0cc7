"""The fault head in torch, as functions of its weights; they have the names and shapes of `models.fault_head`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.degradations import FAULTS
from models.fault_head import ACTIVE, BLOCK, LARGEST, OUTPUTS, SMALLEST, TOP
from models.features import FEATURES, GLOBALS

Weights = dict[str, Tensor]

BALANCE = 0.01
"""Weight of the load-balancing term (Fedus, Zoph, Shazeer, JMLR 23, 2022, section 2.2)."""

TOKENS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a network; one expert makes it dense."""

    experts: int = 64
    inner: int = 96
    hidden: int = 32
    context: int = 32
    judge: int = 64


@dataclass(frozen=True, slots=True)
class Batch:
    """`features` f32[N, S, F], `whole` f32[N, G], `real` f32[N, S] 1 where a channel exists, else 0."""

    features: Tensor
    whole: Tensor
    real: Tensor


@dataclass(frozen=True, slots=True)
class Logits:
    """`whole` f32[N, 3], `kinds` f32[N, S, K], and `balance` f32[], 1 where all experts have as much work."""

    whole: Tensor
    kinds: Tensor
    balance: Tensor


def initial(shape: Shape, seed: int) -> Weights:
    """Draw weights to start from (He et al., ICCV 2015); the experts' last layer starts small."""
    generator = torch.Generator().manual_seed(seed)
    H, C = shape.hidden, shape.context
    pairs = {
        "embed": (FEATURES, H),
        "context": (3 * H + GLOBALS, C),
        "router": (C, shape.experts),
        "lift": (C, H),
        "judge": (3 * H + C, shape.judge),
        "verdict": (shape.judge, len(OUTPUTS)),
        "kinds": (H, len(FAULTS)),
    }
    weights = {name: torch.randn(*size, generator=generator) * (2 / size[0]) ** 0.5 for name, size in pairs.items()}
    weights |= {f"{name}_bias": torch.zeros(size[1]) for name, size in pairs.items()}
    weights["W1"] = torch.randn(shape.experts, shape.inner, H, generator=generator) * (2 / H) ** 0.5
    weights["W2"] = torch.randn(shape.experts, H, shape.inner, generator=generator) * 0.3 * (2 / shape.inner) ** 0.5
    weights |= {"b1": torch.zeros(shape.experts, shape.inner), "b2": torch.zeros(shape.experts, H)}
    return {name: weight.requires_grad_() for name, weight in weights.items()}


def forward(weights: Weights, batch: Batch, *, quantized: bool) -> Logits:
    """Return the logits; with `quantized`, as the graph's 4-bit experts would compute them."""
    real = batch.real[:, :, None]  # (N, S, 1)
    tokens = torch.relu(batch.features @ weights["embed"] + weights["embed_bias"]) * real  # (N, S, H)
    pooled = torch.cat([_pool(tokens, real), batch.whole], 1)
    context = torch.relu(pooled @ weights["context"] + weights["context_bias"])  # (N, C)
    tokens = tokens + (context @ weights["lift"] + weights["lift_bias"])[:, None]
    refined, balance = _experts(weights, tokens, context @ weights["router"] + weights["router_bias"], quantized)
    refined = torch.relu(refined) * real
    judged = torch.relu(torch.cat([_pool(refined, real), context], 1) @ weights["judge"] + weights["judge_bias"])
    return Logits(
        judged @ weights["verdict"] + weights["verdict_bias"],
        refined @ weights["kinds"] + weights["kinds_bias"],
        balance,
    )


def _pool(tokens: Tensor, real: Tensor) -> Tensor:
    largest = tokens.topk(min(TOP, tokens.shape[1]), 1).values
    return torch.cat([tokens.sum(1) / real.sum(1), largest[:, 0], largest.sum(1) / TOP], 1)


def _experts(weights: Weights, tokens: Tensor, logits: Tensor, quantized: bool) -> tuple[Tensor, Tensor]:
    """Return tokens plus what each window's experts add, and how unevenly the experts are used."""
    count = logits.shape[1]
    if count == 1:
        return tokens + _dense(weights, tokens), torch.ones(()) + 0.0 * logits.sum()
    best, chosen = logits.topk(min(ACTIVE, count), 1)  # (N, k)
    W1, W2 = (rounded(weights[name]) if quantized else weights[name] for name in ("W1", "W2"))
    out = tokens
    for gate, expert in zip(best.softmax(1).T, chosen.T, strict=True):  # (N)
        inner = torch.relu(torch.baddbmm(weights["b1"][expert][:, None], tokens, W1[expert].transpose(1, 2)))
        added = torch.baddbmm(weights["b2"][expert][:, None], inner, W2[expert].transpose(1, 2))
        out = out + gate[:, None, None] * added
    share = torch.bincount(chosen.flatten(), minlength=count) / chosen.numel()
    return out, count * (share * logits.softmax(1).mean(0)).sum()


def _dense(weights: Weights, tokens: Tensor) -> Tensor:
    """Return what the only expert, in float, adds to the tokens, some at a time: a wide one fills no cache."""
    W1, b1, W2, b2 = (weights[name][0] for name in ("W1", "b1", "W2", "b2"))
    parts = [torch.relu(torch.addmm(b1, part, W1.T)) @ W2.T for part in tokens.flatten(0, 1).split(TOKENS_AT_ONCE)]
    return (torch.cat(parts) + b2).reshape(tokens.shape)


def rounded(weight: Tensor) -> Tensor:
    """Return weight f32[E, N, K] as its 4 bits would hold it; the gradient passes straight through."""
    blocks = weight.reshape(*weight.shape[:2], -1, BLOCK)
    scale = (blocks.abs().amax(3, keepdim=True).clamp_min(SMALLEST) / LARGEST).half().float()
    return weight + (((blocks / scale).round() * scale).reshape(weight.shape) - weight).detach()
