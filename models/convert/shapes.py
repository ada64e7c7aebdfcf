"""Frees dimensions that a file fixes although its graph does not depend on them."""

import onnx

from .graph import tidy


def free_height_width(model: onnx.ModelProto) -> onnx.ModelProto:
    """Frees height and width of the image inputs, and with them the number of anchors of the outputs."""
    for value in model.graph.input:
        _free(value, {2: "height", 3: "width"})
    for value in model.graph.output:
        _free(value, {1: f"anchors_{value.name}"})
    tidy(model.graph)
    return model


def free_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Frees the first dimension of all inputs and outputs."""
    for value in [*model.graph.input, *model.graph.output]:
        _free(value, {0: "batch"})
    tidy(model.graph)
    return model


def _free(value: onnx.ValueInfoProto, names: dict[int, str]) -> None:
    dims = value.type.tensor_type.shape.dim
    for axis, name in names.items():
        dims[axis].Clear()
        dims[axis].dim_param = name
