"""What all rewrites share: constants by name, and leaving a graph tidy behind them."""

import numpy as np
import onnx
from onnx import numpy_helper


def constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Returns the value of every initializer and Constant node, by the name its readers use."""
    values = {init.name: numpy_helper.to_array(init) for init in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return values


def add_initializer(graph: onnx.GraphProto, name: str, value: np.ndarray) -> str:
    """Adds a float32 constant and returns its name."""
    array = np.ascontiguousarray(value, dtype=np.float32)
    graph.initializer.append(numpy_helper.from_array(array, name))
    return name


def replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Puts `nodes` in place of the graph's nodes; they stay in topological order if the caller kept it."""
    del graph.node[:]
    graph.node.extend(nodes)


def tidy(graph: onnx.GraphProto) -> None:
    """Drops what no node reads: old initializers, weights listed as inputs, and shapes that no longer hold."""
    used = {name for node in graph.node for name in node.input}
    kept = [init for init in graph.initializer if init.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    weights = {init.name for init in kept}
    inputs = [i for i in graph.input if i.name in used and i.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)
    del graph.value_info[:]
