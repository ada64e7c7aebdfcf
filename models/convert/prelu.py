"""Writes per-channel PRelu in operators that ONNX Runtime's CPU kernels keep in their blocked layout (NCHWc).

PRelu is not one of them, so each costs two layout reorders, and face networks have one after every convolution: up to three
times the run time for nothing. With a depthwise 1x1 convolution as the per-channel factor,

    PRelu(x) = Relu(x) + (-slope) * Relu(-x)

is the same function in Relu, Conv and Add, and exact in float32: every product is by 1, -1 or the same slope.
"""

import numpy as np
import onnx
from onnx import helper

from .graph import add_initializer, constants, replace_nodes


def rewrite_prelu(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrites every PRelu whose slope is one constant a channel; leaves others alone."""
    graph = model.graph
    known = constants(graph)
    nodes = []
    count = 0
    for node in graph.node:
        slope = known.get(node.input[1]) if node.op_type == "PRelu" else None
        if slope is None or slope.ndim != 3 or slope.shape[1:] != (1, 1):
            nodes.append(node)
            continue
        nodes += _relus(graph, f"prelu{count}", node.input[0], node.output[0], slope)
        count += 1
    replace_nodes(graph, nodes)
    used = {name for node in nodes for name in node.input}
    kept = [init for init in graph.initializer if init.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return model


def _relus(graph: onnx.GraphProto, name: str, x: str, y: str, slope: np.ndarray) -> list[onnx.NodeProto]:
    channels = slope.shape[0]
    minus_one = add_initializer(graph, f"{name}_minus_one", -np.ones((channels, 1, 1, 1)))
    minus_slope = add_initializer(graph, f"{name}_minus_slope", -slope.reshape(channels, 1, 1, 1))
    conv = {"group": channels, "kernel_shape": [1, 1]}
    return [
        helper.make_node("Relu", [x], [f"{name}_positive"]),
        helper.make_node("Conv", [x, minus_one], [f"{name}_negated"], **conv),
        helper.make_node("Relu", [f"{name}_negated"], [f"{name}_negative"]),
        helper.make_node("Conv", [f"{name}_negative", minus_slope], [f"{name}_scaled"], **conv),
        helper.make_node("Add", [f"{name}_scaled", f"{name}_positive"], [y]),
    ]
