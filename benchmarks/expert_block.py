"""The fault head's experts as a graph of their own, and dense nets to compare them with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper

from models import head_graph
from models.fault_head import FaultHead
from models.features import FEATURES, GLOBALS
from models.nodes import FLOAT, Nodes

Float32s = npt.NDArray[np.float32]

WINDOWS: Final = 2000
SEED: Final = 1


def sessions(head: FaultHead, tokens: int) -> dict[str, Callable[[], object]]:
    """Return what runs one window of `tokens` tokens through the experts and through dense nets, on one thread.

    "sparse" is the mixture as the runtime has it, all tokens routed alike; the dense nets have one hidden layer that is
    as wide as all experts together ("dense, total") or as those that work on a window ("dense, active").
    """
    rng = np.random.default_rng(SEED)
    experts, inner, hidden = head.W1.shape
    x = np.abs(rng.standard_normal((tokens, hidden))).astype(np.float32)
    logits = np.repeat(rng.standard_normal((1, experts)).astype(np.float32), tokens, 0)
    graphs = {
        "sparse": (mixture(head, tokens), {"x": x, "logits": logits}),
        "dense, total": (dense(hidden, inner * experts), {"x": x}),
        "dense, active": (dense(hidden, inner * head.active), {"x": x}),
    }
    return {name: _runner(graph, feed) for name, (graph, feed) in graphs.items()}


def mixture(head: FaultHead, tokens: int) -> bytes:
    """Return the one mixture node of the head's graph as a model: `x` f32[T, H] and `logits` f32[T, E] to `y`."""
    whole = onnx.load_from_string(head_graph.build(head, tokens)).graph
    (node,) = (node for node in whole.node if node.op_type == "QMoE")
    widened = [cast for cast in whole.node if cast.op_type == "Cast" and cast.output[0] in node.input]
    named = {*node.input, *(cast.input[0] for cast in widened)}
    constants = [tensor for tensor in whole.initializer if tensor.name in named]
    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    alone.input[0], alone.input[1], alone.output[0] = "x", "logits", "y"
    hidden, experts = head.W1.shape[2], head.experts
    described = [helper.make_tensor_value_info("x", FLOAT, ["T", hidden])]
    described.append(helper.make_tensor_value_info("logits", FLOAT, ["T", experts]))
    graph = helper.make_graph(
        [*widened, alone], "mixture", described, [helper.make_tensor_value_info("y", FLOAT, ["T", hidden])], constants
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(node.domain, 1)]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 10
    return bytes(model.SerializeToString())


def dense(hidden: int, inner: int) -> bytes:
    """Return a float32 net W2 relu(W1 x + b1) + b2 with random weights: `x` f32[T, hidden] to `y`."""
    rng, g = np.random.default_rng(SEED), Nodes()
    widened = g.op("MatMul", "x", g.constant("W1", rng.standard_normal((hidden, inner))))
    widened = g.op("Relu", g.op("Add", widened, g.constant("b1", rng.standard_normal(inner))))
    narrowed = g.op("MatMul", widened, g.constant("W2", rng.standard_normal((inner, hidden))))
    g.op("Add", narrowed, g.constant("b2", rng.standard_normal(hidden)), name="y")
    return g.model({"x": (FLOAT, ["T", hidden])}, {"y": (FLOAT, ["T", hidden])})


def quantization_gap(head: FaultHead, channels: int) -> float:
    """Return by how much, at most, a judgement's probability of the graph differs from that of `head` in numpy, 0..1.

    A head from the disk is in 4 bits already: then this is the arithmetic alone. What 4 bits cost the weights that were
    trained is measured where these are known, in training.
    """
    rng = np.random.default_rng(SEED)
    session = _session(head_graph.build(head, channels))
    size = rng.choice([0.3, 1.0, 3.0], WINDOWS).astype(np.float32)  # quiet, usual and loud windows
    features = size[:, None, None] * rng.standard_normal((WINDOWS, channels, FEATURES)).astype(np.float32)
    whole = size[:, None] * rng.standard_normal((WINDOWS, GLOBALS)).astype(np.float32)
    (judged,) = session.run(["judged"], {"features": features, "whole": whole})
    reference, _ = head.forward(features, whole)
    return float(np.abs(_probability(judged) - _probability(reference)).max())


def _probability(logits: Float32s) -> npt.NDArray[np.float64]:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64))))


def _runner(graph: bytes, feed: dict[str, Float32s]) -> Callable[[], object]:
    session = _session(graph)
    return lambda: session.run(["y"], feed)


def _session(graph: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
