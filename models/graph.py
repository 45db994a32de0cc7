"""Builds a bundle's ONNX graph: the regime experts in float32 and the fault head as a quantized mixture of experts.

Imports onnx, which only learning needs; the daemon loads the finished graph.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.head import ACTIVE, FEATURES, Head, kernels
from models.inject import FAULTS
from models.regimes import Regimes

CLIP = 1000.0
"""Standardised values are kept within this, so that their squares stay far from float32's end."""

_MICROSOFT = "com.microsoft"
_Array = npt.NDArray[np.generic]


@dataclass
class _Graph:
    """Collects nodes and constants; each operation returns the name of its output."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def constant(self, name: str, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        self.constants[name] = numpy_helper.from_array(np.array(value, dtype, order="C"), name)
        return name

    def ints(self, *values: int) -> str:
        return self.constant("i_" + "_".join(str(v) for v in values), values, np.int64)

    def op(self, kind: str, *inputs: str, name: str = "", domain: str = "", **attributes: Any) -> str:
        output = name or f"{kind}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [output], name=f"n_{output}", domain=domain, **attributes)
        )
        return output


def build(
    scored: npt.NDArray[np.intp], centre: _Array, scale: _Array, regimes: Regimes, head: Head, channels: int
) -> bytes:
    """Return the serialized graph.

    Input `x` f32[B, L, C]: raw values without gaps, L at least the head's window. With S scored channels, given by
    their positions `scored`, `centre` f[S] and `scale` f[S], outputs: `regime` i64[B, L]; `distance` f32[B, L], the
    squared Mahalanobis distance to the most likely regime; `residual` f32[B, L, S], measured minus expected given
    the other channels, in its standard deviations; `expected` f32[B, L, S] in raw units; `fault` f32[B, T, S, O]
    the head's logits for each of the T = L - window + 1 complete windows.
    """
    g = _Graph()
    picked = g.op("Gather", "x", g.constant("scored", scored, np.int64), axis=2)  # (B, L, S)
    z = g.op("Div", g.op("Sub", picked, g.constant("centre", centre)), g.constant("scale", scale))
    z = g.op("Clip", z, g.constant("lowest", -CLIP), g.constant("highest", CLIP))
    shape = g.op("Shape", z)
    residual = _experts(g, z, shape, regimes)
    _fault_head(g, residual, picked, head, len(scored))
    outputs: dict[str, tuple[int, list[str | int | None]]] = {
        "regime": (TensorProto.INT64, ["B", "L"]),
        "distance": (TensorProto.FLOAT, ["B", "L"]),
        "residual": (TensorProto.FLOAT, ["B", "L", len(scored)]),
        "expected": (TensorProto.FLOAT, ["B", "L", len(scored)]),
        "fault": (TensorProto.FLOAT, ["B", "T", len(scored), len(FAULTS)]),
    }
    graph = helper.make_graph(
        g.nodes,
        "forewarn",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", "L", channels])],
        [helper.make_tensor_value_info(name, kind, axes) for name, (kind, axes) in outputs.items()],
        list(g.constants.values()),
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(_MICROSOFT, 1)],
        producer_name="forewarn",
    )
    model.ir_version = 10
    return bytes(model.SerializeToString())


def _experts(g: _Graph, z: str, shape: str, regimes: Regimes) -> str:
    """Add the K regime experts over N = B * L rows of S channels; return the name of the residual (B, L, S)."""
    count, channels = regimes.mean.shape
    whitener, precision = regimes.whiteners(), regimes.precision()
    diagonal = np.diagonal(precision, axis1=1, axis2=2)
    log_det = np.log(np.diagonal(whitener, axis1=1, axis2=2)).sum(1)
    flat = g.op("Reshape", z, g.ints(1, -1, channels))  # (1, N, S)
    centred = g.op("Sub", flat, g.constant("mean", regimes.mean[:, None, :]))  # (K, N, S)
    white = g.op("MatMul", centred, g.constant("whitener", whitener))  # (K, N, S)
    distances = g.op("ReduceSumSquare", white, g.ints(2), keepdims=0)  # (K, N)
    density = g.op(
        "Sub",
        g.constant("log_weight", (regimes.log_weight + log_det)[:, None]),
        g.op("Mul", distances, g.constant("half", 0.5)),
    )
    best = g.op("ArgMax", density, axis=0, keepdims=0)  # (N)
    chosen = g.op(
        "OneHot",
        best,
        g.ints(count),
        g.constant("off_on", [0.0, 1.0]),
        axis=0,
    )  # (K, N)
    rows = g.op("Slice", shape, g.ints(0), g.ints(2))  # [B, L]
    g.op("Reshape", best, rows, name="regime")
    g.op("Reshape", g.op("ReduceSum", g.op("Mul", chosen, distances), g.ints(0), keepdims=0), rows, name="distance")
    pull = g.op("MatMul", white, g.constant("whitener_t", whitener.transpose(0, 2, 1)))  # (K, N, S): P (x - mean)
    pull = g.op("ReduceSum", g.op("Mul", pull, g.op("Unsqueeze", chosen, g.ints(2))), g.ints(0), keepdims=0)  # (N, S)
    stiffness = g.op("MatMul", g.op("Transpose", chosen, perm=[1, 0]), g.constant("diagonal", diagonal))  # (N, S)
    residual = g.op("Reshape", g.op("Div", pull, g.op("Sqrt", stiffness)), shape, name="residual")
    offset = g.op("Reshape", g.op("Div", pull, stiffness), shape)
    g.op("Add", g.op("Mul", g.op("Sub", z, offset), "scale"), "centre", name="expected")
    return residual


def _fault_head(g: _Graph, residual: str, picked: str, head: Head, channels: int) -> None:
    """Add the features of every tag's window as causal convolutions, then the quantized mixture of experts."""
    changes = _difference(g, residual, "changes")
    still = g.op("Cast", g.op("Equal", _difference(g, picked, "moves"), g.constant("zero", 0.0)), to=TensorProto.FLOAT)
    linear = _convolve(g, residual, "linear")
    parts = [
        g.op("Mul", g.op("Sign", linear), g.op("Log", g.op("Add", g.op("Abs", linear), g.constant("one", 1.0)))),
        _log(g, _convolve(g, g.op("Mul", residual, residual), "square")),
        _log(g, _convolve(g, g.op("Mul", changes, changes), "change")),
        _convolve(g, still, "still"),
    ]
    features = g.op("Concat", *parts, axis=1)  # (B * S, F, T)
    tokens = g.op("Reshape", g.op("Transpose", features, perm=[0, 2, 1]), g.ints(-1, FEATURES))  # (B * S * T, F)
    z = g.op("Div", g.op("Sub", tokens, g.constant("f_centre", head.centre)), g.constant("f_scale", head.scale))
    logits = g.op(
        "Add", g.op("MatMul", z, g.constant("router", head.router)), g.constant("router_bias", head.router_bias)
    )
    (W1, s1), (W2, s2) = quantize(head.W1), quantize(head.W2)
    out = g.op(
        "QMoE",
        z,
        logits,
        g.constant("W1", W1, np.uint8),
        g.constant("s1", s1),
        g.constant("b1", head.b1),
        g.constant("W2", W2, np.uint8),
        g.constant("s2", s2),
        g.constant("b2", head.b2),
        domain=_MICROSOFT,
        k=ACTIVE,
        activation_type="relu",
        expert_weight_bits=8,
        normalize_routing_weights=1,
    )
    out = g.op("Slice", out, g.ints(0), g.ints(len(FAULTS)), g.ints(1))
    batch = g.op("Slice", g.op("Shape", residual), g.ints(0), g.ints(1))
    full = g.op("Concat", batch, g.ints(channels, -1, len(FAULTS)), axis=0)
    g.op("Transpose", g.op("Reshape", out, full), perm=[0, 2, 1, 3], name="fault")  # (B, T, S, O)


def _difference(g: _Graph, x: str, name: str) -> str:
    """Row minus the row before, along axis 1; the first is 0."""
    first = g.op("Slice", x, g.ints(0), g.ints(1), g.ints(1))
    last = g.op("Concat", first, g.op("Slice", x, g.ints(0), g.ints(-1), g.ints(1)), axis=1)
    return g.op("Sub", x, last, name=name)


def _convolve(g: _Graph, x: str, name: str) -> str:
    """(B, L, S) -> (B * S, n, T): the averages of `models.head.kernels` over each channel's last rows."""
    kernel = kernels()[name]
    by_channel = g.op(
        "Reshape",
        g.op("Transpose", x, perm=[0, 2, 1]),
        g.op("Concat", g.ints(-1, 1), g.op("Slice", g.op("Shape", x), g.ints(1), g.ints(2)), axis=0),
    )
    return g.op("Conv", by_channel, g.constant(f"kernel_{name}", kernel[:, None, :]))


def _log(g: _Graph, x: str) -> str:
    return g.op("Log", g.op("Add", x, g.constant("floor", 1e-2)))


def quantize(weight: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Return weights f32[E, N, K] as symmetric 8-bit integers around 128 with one scale per output row f32[E, N]."""
    scale = np.maximum(np.abs(weight).max(2), 1e-12) / 127.0
    return (np.round(weight / scale[:, :, None]) + 128).astype(np.uint8), scale.astype(np.float32)
