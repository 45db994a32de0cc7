"""Collects the nodes and constants of an ONNX graph; each operation returns the name of its output."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

MICROSOFT = "com.microsoft"
FLOAT = TensorProto.FLOAT

Axes = list[str | int | None]


@dataclass
class Nodes:
    """A graph under construction."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def constant(self, name: str, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """Add a constant; return its name."""
        self.constants[name] = numpy_helper.from_array(np.array(value, dtype, order="C"), name)
        return name

    def half(self, name: str, value: npt.ArrayLike) -> str:
        """Add a constant that takes 16 bits on the disk and 32 once it is loaded; return its name."""
        return self.op("Cast", self.constant(f"{name}_half", value, np.float16), to=FLOAT, name=name)

    def ints(self, *values: int) -> str:
        """Add a list of integers, such as axes; return its name."""
        return self.constant("i_" + "_".join(str(v) for v in values), values, np.int64)

    def op(self, kind: str, *inputs: str, name: str = "", domain: str = "", **attributes: Any) -> str:
        """Add a node; return the name of its first output."""
        output = name or f"{kind}_{len(self.nodes)}"
        outputs = [output, f"{output}_indices"] if kind == "TopK" else [output]
        node = helper.make_node(kind, list(inputs), outputs, name=f"n_{output}", domain=domain, **attributes)
        self.nodes.append(node)
        return output

    def model(self, inputs: dict[str, tuple[int, Axes]], outputs: dict[str, tuple[int, Axes]]) -> bytes:
        """Return the serialized model with these inputs and outputs: element type and axes of each.

        An input may be left out, then it is empty along its axes that have a name.
        """

        def described(tensors: dict[str, tuple[int, Axes]]) -> list[onnx.ValueInfoProto]:
            return [helper.make_tensor_value_info(name, kind, axes) for name, (kind, axes) in tensors.items()]

        absent = [
            numpy_helper.from_array(np.zeros([n if isinstance(n, int) else 0 for n in axes], np.float32), name)
            for name, (_, axes) in inputs.items()
        ]
        graph = helper.make_graph(
            self.nodes, "forewarn", described(inputs), described(outputs), [*self.constants.values(), *absent]
        )
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="forewarn")
        model.ir_version = 10
        return bytes(model.SerializeToString())
