"""Writes a chain of convolutions in 8 bits, for processors that multiply four bytes in one go (VNNI, dot products).

SFace is such a chain: convolution, BatchNormalization, PRelu, 27 times, and a fully connected layer. What a channel carries
behind a BatchNormalization is known without a single picture, mean `beta` and deviation `gamma`, and that is what the ranges of
the bytes are taken from (Nagel et al., Data-Free Quantization, 2019). Weights have a scale for each channel that they make.

In bytes as in floats

    PRelu(x) = x + (slope - 1) * min(x, 0)

which is a Clip at the byte that stands for 0, a depthwise 1x1 convolution whose only weight is +-127, and an Add.

Sums are taken in the order of their terms, so that every machine makes the same file.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .graph import constants

# How many deviations from its mean the bytes of a channel reach: of LFW's faces one value in 100,000 lies beyond. What a
# depthwise convolution makes has the longer tail.
BELOW = 6.5
ABOVE = 7.0
ABOVE_DEPTHWISE = 10.0
# Weights take the bytes from -127 to 127.
LARGEST = 127


def quantize_chain(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the chain in 8 bits; input and output stay float32.

    Raises ValueError where the graph is no such chain.
    """
    chain = _Chain(model.graph)
    made = _GraphBuilder()
    spot = made.bytes_of(chain.read_input())
    while (layer := chain.read_convolution()) is not None:
        spot = made.prelu(made.convolution(spot, layer), layer)
    made.fully_connected(spot, chain.read_fully_connected(), model.graph.output[0].name)
    chain.expect_end()
    graph = helper.make_graph(made.nodes, f"{model.graph.name} in 8 bits", model.graph.input, model.graph.output, made.initializers)
    operators = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=operators, ir_version=model.ir_version)


class _Layer:
    """A convolution with what follows it: weights, bias, slopes, and how low and how high each channel reaches."""

    def __init__(self, node: onnx.NodeProto, weights: np.ndarray, bias: np.ndarray, normal: "_BatchNorm", slope: np.ndarray):
        self.geometry = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if set(self.geometry.pop("dilations", [1])) != {1} or "auto_pad" in self.geometry:
            raise ValueError(f"{node.output[0]}: dilated, or padded as the runtime likes")
        self.weights, self.bias, self.slope = weights, bias, slope
        is_depthwise = self.geometry["group"] == len(weights) > 1
        self.lowest = normal.mean - BELOW * normal.deviation
        self.highest = normal.mean + (ABOVE_DEPTHWISE if is_depthwise else ABOVE) * normal.deviation


class _BatchNorm:
    """A BatchNormalization: what it multiplies with and adds, and mean and deviation of what comes out."""

    def __init__(self, node: onnx.NodeProto, known: dict[str, np.ndarray]):
        gamma, beta, mean, variance = (known[name] for name in node.input[1:5])
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        self.factor = gamma / np.sqrt(variance + epsilon)
        self.offset = beta - mean * self.factor
        self.mean, self.deviation = beta, np.abs(gamma)


class _QuantizedTensor:
    """A tensor of bytes: its name and those of its scale and zero point, and the latter two."""

    def __init__(self, name: str, quantization: list[str], scale: np.float32, zero: int):
        self.name, self.scale, self.zero = name, scale, zero
        self.names = [name, *quantization]


class _Chain:
    """Reads a graph from front to back."""

    def __init__(self, graph: onnx.GraphProto):
        self.known = {name: value.astype(np.float64) for name, value in constants(graph).items()}
        self.nodes = [node for node in graph.node if node.op_type not in ("Constant", "Dropout")]
        self.input = graph.input[0].name
        ignored = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Dropout"}
        made = self.input
        for node in self.nodes:
            if ignored.get(node.input[0], node.input[0]) != made:
                raise ValueError(f"{node.output[0]} is not made of {made}")
            made = node.output[0]

    def next(self, operator: str) -> onnx.NodeProto:
        found = self.nodes.pop(0) if self.nodes else None
        if found is None or found.op_type != operator:
            raise ValueError(f"{operator} expected, found {found.op_type if found else 'the end'}")
        return found

    def read_input(self) -> tuple[str, float, float]:
        """The input, what is subtracted from it, and what the difference is multiplied with."""
        subtracted, factor = (self.known[self.next(operator).input[1]].item() for operator in ("Sub", "Mul"))
        return self.input, subtracted, factor

    def read_convolution(self) -> _Layer | None:
        if not self.nodes or self.nodes[0].op_type != "Conv":
            return None
        convolution = self.next("Conv")
        if len(convolution.input) != 2:
            raise ValueError("a convolution has a bias of its own")
        normal = self._batch_norm()
        slope = self.known[self.next("PRelu").input[1]].reshape(-1)
        return _Layer(convolution, self.known[convolution.input[1]] * normal.factor.reshape(-1, 1, 1, 1), normal.offset, normal, slope)

    def read_fully_connected(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights and bias, with the normalisations before and behind."""
        before = self._batch_norm()
        self.next("Flatten")
        layer = self.next("Gemm")
        behind = self._batch_norm()
        weights, bias = self.known[layer.input[1]], self.known[layer.input[2]]
        by_channel = weights.reshape(len(weights), len(before.factor), -1)
        bias = bias + _sum((by_channel * before.offset.reshape(1, -1, 1)).reshape(weights.shape))
        weights = (by_channel * before.factor.reshape(1, -1, 1)).reshape(weights.shape)
        return weights * behind.factor.reshape(-1, 1), bias * behind.factor + behind.offset

    def expect_end(self) -> None:
        if self.nodes:
            raise ValueError(f"the end expected, found {self.nodes[0].op_type}")

    def _batch_norm(self) -> _BatchNorm:
        return _BatchNorm(self.next("BatchNormalization"), self.known)


class _GraphBuilder:
    """The graph that is being made."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def bytes_of(self, source: tuple[str, float, float]) -> _QuantizedTensor:
        """Pixels are bytes already: only their type changes, and what they stand for."""
        name, subtracted, factor = source
        self._constant("pixel_scale", np.float32(1))
        self._constant("pixel_zero", np.uint8(0))
        self.nodes.append(helper.make_node("QuantizeLinear", [name, "pixel_scale", "pixel_zero"], ["pixels"]))
        # 127.5 lies between two bytes: with the upper one for 0 the picture is darker by half a level.
        return self._spot("pixels", np.float32(factor), int(np.ceil(subtracted)))

    def convolution(self, x: _QuantizedTensor, layer: _Layer) -> _QuantizedTensor:
        name = f"conv{len(self.nodes)}"
        y = self._between(name, layer.lowest.min(), layer.highest.max())
        self._convolve(x, y, layer.weights, layer.bias, layer.geometry)
        return y

    def prelu(self, x: _QuantizedTensor, layer: _Layer) -> _QuantizedTensor:
        """In the scale of what comes in: what is positive stays the same byte, and what is negative is rounded once."""
        negative = _QuantizedTensor(f"{x.name}_negative", x.names[1:], x.scale, x.zero)
        self.nodes.append(helper.make_node("Clip", [x.name, "", x.names[2]], [negative.name]))
        rest = (layer.slope - 1) * np.minimum(layer.lowest, 0)
        scaled = self._spot(f"{x.name}_scaled", x.scale, int(np.clip(np.rint(-rest.min() / x.scale), 0, 255)))
        factors = (layer.slope - 1).reshape(-1, 1, 1, 1)
        self._convolve(negative, scaled, factors, np.zeros(len(factors)), {"group": len(factors), "kernel_shape": [1, 1]})
        y = _QuantizedTensor(f"{x.name}_prelu", x.names[1:], x.scale, x.zero)
        self.nodes.append(helper.make_node("QLinearAdd", [*x.names, *scaled.names, *y.names[1:]], [y.name], domain="com.microsoft"))
        return y

    def fully_connected(self, x: _QuantizedTensor, layer: tuple[np.ndarray, np.ndarray], output: str) -> None:
        weights, bias = layer
        self.nodes.append(helper.make_node("Flatten", [x.name], ["flat"]))
        names = self._weights("fully_connected", weights, bias, x.scale, transposed=True)
        self.nodes.append(helper.make_node("QGemm", ["flat", *x.names[1:], *names], [output], domain="com.microsoft"))

    def _convolve(self, x: _QuantizedTensor, y: _QuantizedTensor, weights: np.ndarray, bias: np.ndarray, geometry: dict) -> None:
        *weight_names, bias_name = self._weights(y.name, weights, bias, x.scale)
        inputs = [*x.names, *weight_names, *y.names[1:], bias_name]
        self.nodes.append(helper.make_node("QLinearConv", inputs, [y.name], **geometry))

    def _weights(self, name: str, weights: np.ndarray, bias: np.ndarray, input_scale: np.float32, transposed: bool = False) -> list[str]:
        """Names of the weights, their scales and zero points, and the bias."""
        flat = weights.reshape(len(weights), -1)
        scales = np.maximum(np.abs(flat).max(axis=1) / LARGEST, np.finfo(np.float32).tiny).astype(np.float32)
        values = np.rint(flat / scales.reshape(-1, 1).astype(np.float64)).clip(-LARGEST, LARGEST).astype(np.int8)
        bias = np.rint(bias / (scales.astype(np.float64) * float(input_scale)))
        if np.abs(bias).max() >= 2**31:
            raise ValueError(f"{name}: a channel has a bias and hardly any weight")
        return [
            self._constant(f"{name}_weights", values.T if transposed else values.reshape(weights.shape)),
            self._constant(f"{name}_weight_scales", scales),
            self._constant(f"{name}_weight_zeros", np.zeros(len(scales), np.int8)),
            self._constant(f"{name}_bias", bias.astype(np.int32)),
        ]

    def _between(self, name: str, lowest: float, highest: float) -> _QuantizedTensor:
        scale = np.float32((highest - lowest) / 255)
        return self._spot(name, scale, int(np.clip(np.rint(-lowest / scale), 0, 255)))

    def _spot(self, name: str, scale: np.float32, zero: int) -> _QuantizedTensor:
        quantization = [self._constant(f"{name}_scale", scale), self._constant(f"{name}_zero", np.uint8(zero))]
        return _QuantizedTensor(name, quantization, scale, zero)

    def _constant(self, name: str, value: np.ndarray) -> str:
        self.initializers.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name


def _sum(rows: np.ndarray) -> np.ndarray:
    """The sum of each row, term by term."""
    return np.cumsum(rows, axis=1)[:, -1]
