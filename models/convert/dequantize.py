"""Folds the DequantizeLinear nodes of weights into plain float32 weights.

OpenCV Zoo's `int8bq` files store weights in int8 blocks. ONNX Runtime refuses the first as shipped (`block_size`) and wants the
weights of the second as inputs, although both compute in float32 anyway: so the multiplication is done here, once.
"""

import numpy as np
import onnx
from onnx import helper

from .graph import add_initializer, constants, replace_nodes, tidy


def fold_dequantize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replaces every DequantizeLinear (and the Reshape behind it) whose inputs are constant by its value."""
    graph = model.graph
    known = constants(graph)
    folded: dict[str, np.ndarray] = {}
    kept = []
    for node in graph.node:
        constant = all(name in known for name in node.input if name)
        if node.op_type == "DequantizeLinear" and constant:
            value = _dequantized(node, known)
        elif node.op_type == "Reshape" and constant and node.input[0] in folded:
            value = known[node.input[0]].reshape(known[node.input[1]].astype(int))
        else:
            kept.append(node)
            continue
        known[node.output[0]] = folded[node.output[0]] = value
    replace_nodes(graph, kept)
    used = {name for node in kept for name in node.input}
    for name, value in folded.items():
        if name in used:
            add_initializer(graph, name, value)
    tidy(graph)
    model.ir_version = 8
    return model


def _dequantized(node: onnx.NodeProto, known: dict[str, np.ndarray]) -> np.ndarray:
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    value = known[node.input[0]].astype(np.float32)
    scale = known[node.input[1]].astype(np.float32)
    has_zero = len(node.input) > 2 and node.input[2]
    zero = known[node.input[2]].astype(np.float32) if has_zero else np.zeros_like(scale)

    def spread(per_block: np.ndarray) -> np.ndarray:
        if per_block.size == 1:
            return per_block.reshape(())
        if block:
            return np.take(np.repeat(per_block, block, axis=axis), range(value.shape[axis]), axis=axis)
        shape = [1] * value.ndim
        shape[axis] = -1
        return per_block.reshape(shape)

    return ((value - spread(zero)) * spread(scale)).astype(np.float32)
