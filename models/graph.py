"""Builds a bundle's ONNX graph: the regime experts in float32 and the fault head as a quantized mixture of experts.

Imports onnx, which only learning needs; the daemon loads the finished graph.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from models import head_graph
from models.bundle import Statistics
from models.degradations import FAULTS
from models.fault_head import OUTPUTS, FaultHead
from models.features import FEATURES, GLOBALS
from models.nodes import FLOAT, Nodes

CLIP = 1000.0
"""Standardised values are kept within this, so that their squares stay far from float32's end."""


def build(statistics: Statistics, head: FaultHead) -> bytes:
    """Return the serialized graph of S scored channels and D conditions; it has two parts, each asked for by itself.

    The experts: `x` f32[N, S + D], raw values without gaps -> `regime` i64[N], the most likely one; `distance`
    f32[N], squared Mahalanobis distance to it given the conditions, and `distances` f32[N, K] to every regime; `white`
    f32[N, S] the white residual; `residual` f32[N, S], measured minus expected given all other channels, in its
    standard deviations; `deviation` f32[N, S] from the regime's mean in the regime's standard deviations; `expected`
    f32[N, S] in raw units.

    The head: `features` f32[M, S, F] and `whole` f32[M, G] -> `judged` f32[M, 3] and `kinds` f32[M, S, K], logits.

    An input that is left out is empty.
    """
    g = Nodes()
    scored = statistics.experts.scored
    _experts(g, statistics)
    head_graph.add(g, "features", "whole", head, scored)
    return g.model(
        {
            "x": (FLOAT, ["N", len(statistics.used)]),
            "features": (FLOAT, ["M", scored, FEATURES]),
            "whole": (FLOAT, ["M", GLOBALS]),
        },
        {
            "regime": (TensorProto.INT64, ["N"]),
            "distance": (FLOAT, ["N"]),
            "distances": (FLOAT, ["N", statistics.experts.regimes.count]),
            **{name: (FLOAT, ["N", scored]) for name in ("white", "residual", "deviation", "expected")},
            "judged": (FLOAT, ["M", len(OUTPUTS)]),
            "kinds": (FLOAT, ["M", scored, len(FAULTS)]),
        },
    )


def _experts(g: Nodes, statistics: Statistics) -> None:
    """Add the K regime experts over N rows of U channels, S of them scored."""
    experts = statistics.experts
    w, S, K = experts.whitening, experts.scored, experts.regimes.count
    centre, scale = g.constant("centre", statistics.centre), g.constant("scale", statistics.scale)
    z = g.op("Div", g.op("Sub", "x", centre), scale)
    low, high = np.full(len(statistics.used), -CLIP), np.full(len(statistics.used), CLIP)
    low[S:], high[S:] = experts.low, experts.high
    z = g.op("Min", g.op("Max", z, g.constant("lowest", low)), g.constant("highest", high))  # (N, U)
    means = g.constant("mean", experts.regimes.mean[:, None, :])
    centred = g.op("Sub", g.op("Unsqueeze", z, g.ints(0)), means)  # (K, N, U)
    onto = g.constant("onto", w.onto)
    root = g.op("Slice", onto, g.ints(0), g.ints(S), g.ints(1))  # its first rows
    white = g.op("MatMul", centred, onto)  # (K, N, S)
    distance = g.op("ReduceSumSquare", white, g.ints(2), keepdims=0)  # (K, N)
    g.op("Transpose", distance, perm=[1, 0], name="distances")
    prior = g.constant("prior", (experts.regimes.log_weight + w.log_det)[:, None])
    density = g.op("Sub", prior, g.op("Mul", distance, g.constant("half", 0.5)))
    best = g.op("ArgMax", density, axis=0, keepdims=0, name="regime")  # (N)
    chosen = g.op("OneHot", best, g.ints(K), g.constant("off_on", [0.0, 1.0]), axis=0)  # (K, N)
    g.op("ReduceSum", g.op("Mul", chosen, distance), g.ints(0), keepdims=0, name="distance")
    every = g.op("Unsqueeze", chosen, g.ints(2))  # (K, N, 1)

    def pick(per_regime: str, name: str = "") -> str:
        """(K, N, X) -> (N, X): that of the most likely regime."""
        return g.op("ReduceSum", g.op("Mul", per_regime, every), g.ints(0), keepdims=0, name=name)

    def of_regime(name: str, values: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> str:
        """(K, X) -> (N, X): the values of the most likely regime."""
        return g.op("MatMul", g.op("Transpose", chosen, perm=[1, 0]), g.constant(name, values))

    pick(white, "white")
    pull = pick(g.op("MatMul", white, root))  # (N, S): P (x - mean), given the conditions
    g.op("Div", pull, of_regime("root_stiffness", np.sqrt(w.stiffness)), name="residual")
    spread = np.sqrt(np.diagonal(experts.regimes.covariance, axis1=1, axis2=2))[:, :S]
    own = g.op("Slice", z, g.ints(0), g.ints(S), g.ints(1))
    g.op("Div", g.op("Sub", own, of_regime("own_mean", experts.regimes.mean[:, :S])), of_regime("spread", spread),
         name="deviation")
    offset = g.op("Div", pull, of_regime("stiffness", w.stiffness))
    units = g.constant("own_scale", statistics.scale[:S])
    raw = g.op("Slice", "x", g.ints(0), g.ints(S), g.ints(1))
    g.op("Sub", raw, g.op("Mul", offset, units), name="expected")
