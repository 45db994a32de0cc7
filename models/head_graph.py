"""Writes the fault head into an ONNX graph; its experts become one quantized mixture, routed once per window."""

from __future__ import annotations

import numpy as np

from models.degradations import FAULTS
from models.fault_head import BITS, BLOCK, TOP, FaultHead, quantize
from models.features import FEATURES, GLOBALS
from models.nodes import FLOAT, MICROSOFT, Nodes


def add(g: Nodes, features: str, whole: str, head: FaultHead, channels: int) -> tuple[str, str]:
    """Add the head; return the names of its two outputs, `judged` and `kinds`.

    The tensor `features` is f32[N, S, F] of S = `channels` channels, `whole` f32[N, G]; the outputs are logits,
    `judged` f32[N, 3] in the order of `models.fault_head.OUTPUTS` and `kinds` f32[N, S, K] in that of
    `models.degradations.FAULTS`.
    """
    tokens = g.op("Relu", _linear(g, features, head, "embed"))  # (N, S, H)
    context = g.op("Relu", _linear(g, g.op("Concat", *_pool(g, tokens, channels), whole, axis=1), head, "context"))
    tokens = g.op("Add", tokens, g.op("Unsqueeze", _linear(g, context, head, "lift"), g.ints(1)))
    refined = g.op("Relu", g.op("Add", tokens, _experts(g, tokens, context, head, channels)))
    judged = g.op("Relu", _linear(g, g.op("Concat", *_pool(g, refined, channels), context, axis=1), head, "judge"))
    return _linear(g, judged, head, "verdict", name="judged"), _linear(g, refined, head, "kinds", name="kinds")


def build(head: FaultHead, channels: int) -> bytes:
    """Return a model of the head alone: inputs `features` and `whole`, outputs `judged` and `kinds`, as in `add`."""
    g = Nodes()
    judged, kinds = add(g, "features", "whole", head, channels)
    return g.model(
        {"features": (FLOAT, ["N", channels, FEATURES]), "whole": (FLOAT, ["N", GLOBALS])},
        {judged: (FLOAT, ["N", head.verdict.shape[1]]), kinds: (FLOAT, ["N", channels, len(FAULTS)])},
    )


def _linear(g: Nodes, x: str, head: FaultHead, layer: str, name: str = "") -> str:
    weight, bias = (g.half(f"head_{part}", getattr(head, part)) for part in (layer, f"{layer}_bias"))
    return g.op("Add", g.op("MatMul", x, weight), bias, name=name)


def _pool(g: Nodes, tokens: str, channels: int) -> list[str]:
    """(N, S, H), none negative -> mean, largest and mean of the TOP largest of the channels, each (N, H)."""
    largest = g.op("ReduceMax", tokens, g.ints(1), keepdims=0)
    mean = g.op("ReduceMean", tokens, g.ints(1), keepdims=0)
    top = g.op("TopK", tokens, g.ints(min(TOP, channels)), axis=1)
    total = g.op("ReduceSum", top, g.ints(1), keepdims=0)
    return [mean, largest, g.op("Div", total, g.constant("head_top", float(TOP)))]


def _experts(g: Nodes, tokens: str, context: str, head: FaultHead, channels: int) -> str:
    """Let the window's experts see its tokens: (N, S, H) -> (N, S, H)."""
    logits = _linear(g, context, head, "router")  # (N, E)
    every = g.op("Tile", g.op("Unsqueeze", logits, g.ints(1)), g.ints(1, channels, 1))  # (N, S, E)
    (W1, s1), (W2, s2) = quantize(head.W1), quantize(head.W2)
    out = g.op(
        "QMoE",
        g.op("Reshape", tokens, g.ints(-1, head.W1.shape[2])),
        g.op("Reshape", every, g.ints(-1, head.experts)),
        g.constant("head_W1", W1, np.uint8),
        g.half("head_s1", s1),
        g.half("head_b1", head.b1),
        g.constant("head_W2", W2, np.uint8),
        g.half("head_s2", s2),
        g.half("head_b2", head.b2),
        domain=MICROSOFT,
        k=head.active,
        activation_type="relu",
        expert_weight_bits=BITS,
        block_size=BLOCK,
        normalize_routing_weights=1,
    )
    return g.op("Reshape", out, g.op("Shape", tokens))

