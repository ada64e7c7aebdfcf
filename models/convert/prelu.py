"""Writes per-channel PRelu in operators that ONNX Runtime's CPU kernels keep in their blocked layout (NCHWc).

PRelu is not one of them, so each costs two layout reorders, and face networks have one after every convolution: up to three
times the run time for nothing. With a depthwise 1x1 convolution as the per-channel factor,

    PRelu(x) = x + (1 - slope) * Relu(-x)

is the same function in Conv, Relu and Add, to the rounding of one float32 operation. The negation is a convolution more, and a
quarter of SFace's time went into those of its kind. So where what makes x has constant weights, and whatever reads the result is a
convolution, the former makes m = -x and the latter read the negated result, with their weights negated (which rounds nothing):

    -PRelu(x) = m + (slope - 1) * Relu(m)
"""

from collections import Counter, defaultdict

import numpy as np
import onnx
from onnx import helper

from .graph import add_initializer, constants, replace_nodes

# The constants of an operator that negate what it makes, by their place among its inputs.
NEGATES_OUTPUT = {"Conv": (1, 2), "BatchNormalization": (1, 2)}
# That of the weights alone, which negates what it makes of its input.
WEIGHTS = 1


def rewrite_prelu(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrites every PRelu whose slope is one constant a channel; leaves others alone."""
    graph = model.graph
    known = constants(graph)
    wiring = _Wiring(graph, known)
    # How often each constant of a node is negated, by the node's place in the graph.
    negated: dict[int, Counter[int]] = defaultdict(Counter)
    rewritten = {}
    for place, node in enumerate(graph.node):
        slope = known.get(node.input[1]) if node.op_type == "PRelu" else None
        if slope is None or slope.ndim != 3 or slope.shape[1:] != (1, 1):
            continue
        name, x, y = f"prelu{len(rewritten)}", node.input[0], node.output[0]
        around = wiring.negatable(x, y)
        if around is None:
            rewritten[place] = _with_negation(graph, name, x, y, slope)
            continue
        maker, readers = around
        negated[maker].update(NEGATES_OUTPUT[graph.node[maker].op_type])
        for reader in readers:
            negated[reader].update([WEIGHTS])
        rewritten[place] = _negated(graph, name, x, y, slope)
    for place, counts in negated.items():
        for which, count in counts.items():
            _negate(graph, known, place, which, count)
    nodes = [new for place, node in enumerate(graph.node) for new in rewritten.get(place, [node])]
    replace_nodes(graph, nodes)
    used = {name for node in nodes for name in node.input}
    kept = [init for init in graph.initializer if init.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return model


class _Wiring:
    """Who makes and who reads each tensor of a graph."""

    def __init__(self, graph: onnx.GraphProto, known: dict[str, np.ndarray]):
        self.nodes = graph.node
        self.known = known
        self.outputs = {output.name for output in graph.output}
        self.maker = {name: place for place, node in enumerate(graph.node) for name in node.output}
        self.readers = defaultdict(list)
        for place, node in enumerate(graph.node):
            for name in node.input:
                self.readers[name].append(place)

    def negatable(self, x: str, y: str) -> tuple[int, list[int]] | None:
        """The maker of `x` and the readers of `y`, where all of them can do with the opposite sign; else `None`."""
        maker = self.maker.get(x)
        if maker is None or len(self.readers[x]) != 1 or {x, y} & self.outputs:
            return None
        node = self.nodes[maker]
        if not self._constant(node, NEGATES_OUTPUT.get(node.op_type, ())):
            return None
        readers = self.readers[y]
        fits = all(self.nodes[r].op_type == "Conv" and self._constant(self.nodes[r], (WEIGHTS,)) for r in readers)
        return (maker, readers) if fits and readers else None

    def _constant(self, node: onnx.NodeProto, places: tuple[int, ...]) -> bool:
        names = [node.input[place] for place in places if place < len(node.input)]
        return bool(names) and all(name in self.known for name in names)


def _negate(graph: onnx.GraphProto, known: dict[str, np.ndarray], place: int, which: int, count: int) -> None:
    """Negates a node's constant so many times; it gets one of its own, since others may read the old one."""
    node = graph.node[place]
    if count % 2 == 1 and which < len(node.input):
        node.input[which] = add_initializer(graph, f"negated{place}_{which}", -known[node.input[which]])


def _negated(graph: onnx.GraphProto, name: str, m: str, y: str, slope: np.ndarray) -> list[onnx.NodeProto]:
    """The nodes that make the negated result of the negated input."""
    return [
        helper.make_node("Relu", [m], [f"{name}_negative"]),
        _factor(graph, f"{name}_slope", f"{name}_negative", f"{name}_scaled", slope - 1),
        helper.make_node("Add", [f"{name}_scaled", m], [y]),
    ]


def _with_negation(graph: onnx.GraphProto, name: str, x: str, y: str, slope: np.ndarray) -> list[onnx.NodeProto]:
    """The nodes that make the result as it is."""
    return [
        _factor(graph, f"{name}_minus_one", x, f"{name}_negated", -np.ones_like(slope)),
        helper.make_node("Relu", [f"{name}_negated"], [f"{name}_negative"]),
        _factor(graph, f"{name}_slope", f"{name}_negative", f"{name}_scaled", 1 - slope),
        helper.make_node("Add", [f"{name}_scaled", x], [y]),
    ]


def _factor(graph: onnx.GraphProto, name: str, x: str, y: str, factor: np.ndarray) -> onnx.NodeProto:
    """The node that multiplies each channel by its factor."""
    channels = factor.shape[0]
    weights = add_initializer(graph, name, factor.reshape(channels, 1, 1, 1))
    return helper.make_node("Conv", [x, weights], [y], group=channels, kernel_shape=[1, 1])
