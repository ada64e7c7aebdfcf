"""Converts MediaPipe's face mesh from TensorFlow Lite to ONNX, without TensorFlow.

Only what that network uses: convolutions, PRelu, Add, MaxPool, channel padding; every tensor has four dimensions. The ONNX
graph is NCHW throughout, so not one Transpose is left. An operator that is not listed here is an error, not a guess.
"""

import numpy as np
import onnx
import tflite
from onnx import TensorProto, helper

from .graph import add_initializer

_OPERATORS = {
    value: name for name, value in vars(tflite.BuiltinOperator).items() if not name.startswith("_")
}
_DTYPES = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}
_NHWC_TO_NCHW = (0, 3, 1, 2)


def face_mesh_to_onnx(data: bytes) -> onnx.ModelProto:
    """Returns `input` [batch,3,256,256] RGB 0-1 → `landmarks` [batch,478,3] in crop pixels, `presence` [batch,1] as a logit."""
    return _MeshConverter(data).convert()


class _MeshConverter:
    def __init__(self, data: bytes) -> None:
        self.source = tflite.Model.GetRootAsModel(data, 0)
        self.sub = self.source.Subgraphs(0)
        self.graph = onnx.GraphProto(name="face_mesh")
        self.constants = {i: c for i in range(self.sub.TensorsLength()) if (c := self._constant(i)) is not None}

    def convert(self) -> onnx.ModelProto:
        handlers = {
            "DEQUANTIZE": self._dequantize,
            "CONV_2D": self._conv,
            "DEPTHWISE_CONV_2D": self._depthwise_conv,
            "PRELU": self._prelu,
            "ADD": self._add,
            "MAX_POOL_2D": self._max_pool,
            "PAD": self._pad,
        }
        outputs = [self.sub.Outputs(i) for i in range(self.sub.OutputsLength())]
        landmarks, presence = outputs[0], outputs[1]
        needed = self._needed({landmarks, presence})
        for k in range(self.sub.OperatorsLength()):
            op = self.sub.Operators(k)
            if int(op.Outputs(0)) not in needed:
                continue
            code = self.source.OperatorCodes(op.OpcodeIndex())
            name = _OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            if name not in handlers:
                raise ValueError(f"operator {name} is not one that the face mesh is known to use")
            handlers[name](op, [int(i) for i in op.InputsAsNumpy()], f"t{int(op.Outputs(0))}")
        self._wrap(f"t{self.sub.Inputs(0)}", f"t{landmarks}", f"t{presence}")
        model = helper.make_model(self.graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="rollcall")
        model.ir_version = 8
        return model

    def _wrap(self, image: str, landmarks: str, presence: str) -> None:
        info = helper.make_tensor_value_info
        self.graph.input.append(info("input", TensorProto.FLOAT, ["batch", 3, 256, 256]))
        self.graph.node.insert(0, helper.make_node("Identity", ["input"], [image]))
        for source, name, shape in ((landmarks, "landmarks", [478, 3]), (presence, "presence", [1])):
            target = onnx.numpy_helper.from_array(np.array([-1, *shape], np.int64), f"{name}_shape")
            self.graph.initializer.append(target)
            self._node("Reshape", [source, target.name], name)
            self.graph.output.append(info(name, TensorProto.FLOAT, ["batch", *shape]))

    def _needed(self, wanted: set[int]) -> set[int]:
        for k in reversed(range(self.sub.OperatorsLength())):
            op = self.sub.Operators(k)
            if int(op.Outputs(0)) in wanted:
                wanted |= {int(i) for i in op.InputsAsNumpy()}
        return wanted

    def _constant(self, index: int) -> np.ndarray | None:
        tensor = self.sub.Tensors(index)
        buffer = self.source.Buffers(tensor.Buffer())
        if buffer is None or buffer.DataLength() == 0:
            return None
        values = np.frombuffer(buffer.DataAsNumpy().tobytes(), _DTYPES[tensor.Type()])
        return values.reshape(self._shape(index))

    def _shape(self, index: int) -> list[int]:
        return [int(d) for d in np.atleast_1d(self.sub.Tensors(index).ShapeAsNumpy())]

    def _node(self, op_type: str, inputs: list[str], output: str, **attributes) -> str:
        self.graph.node.append(helper.make_node(op_type, inputs, [output], **attributes))
        return output

    def _weight(self, value: np.ndarray, output: str, role: str) -> str:
        return add_initializer(self.graph, f"{output}_{role}", value)

    def _dequantize(self, _op, inputs: list[int], output: str) -> None:
        self.constants[int(output[1:])] = self.constants[inputs[0]].astype(np.float32)

    def _conv(self, op, inputs: list[int], output: str) -> None:
        weight = self.constants[inputs[1]].transpose(_NHWC_TO_NCHW)
        self._convolve(op, tflite.Conv2DOptions(), inputs, output, weight, groups=1)

    def _depthwise_conv(self, op, inputs: list[int], output: str) -> None:
        weight = self.constants[inputs[1]].transpose(3, 0, 1, 2)
        channels = self._shape(inputs[0])[3]
        self._convolve(op, tflite.DepthwiseConv2DOptions(), inputs, output, weight, groups=channels)

    def _convolve(self, op, options, inputs: list[int], output: str, weight: np.ndarray, groups: int) -> None:
        self._options(op, options)
        kernel, strides = weight.shape[2:], (options.StrideH(), options.StrideW())
        self._node(
            "Conv",
            [f"t{inputs[0]}", self._weight(weight, output, "weight"), self._weight(self.constants[inputs[2]], output, "bias")],
            output,
            kernel_shape=list(kernel),
            strides=list(strides),
            pads=_pads(options.Padding(), self._shape(inputs[0])[1:3], kernel, strides),
            group=groups,
        )

    def _prelu(self, _op, inputs: list[int], output: str) -> None:
        slope = self.constants[inputs[1]].reshape(-1, 1, 1)
        self._node("PRelu", [f"t{inputs[0]}", self._weight(slope, output, "slope")], output)

    def _add(self, op, inputs: list[int], output: str) -> None:
        self._options(op, tflite.AddOptions())
        self._node("Add", [f"t{i}" for i in inputs], output)

    def _max_pool(self, op, inputs: list[int], output: str) -> None:
        options = self._options(op, tflite.Pool2DOptions())
        kernel, strides = (options.FilterHeight(), options.FilterWidth()), (options.StrideH(), options.StrideW())
        pads = _pads(options.Padding(), self._shape(inputs[0])[1:3], kernel, strides)
        self._node("MaxPool", [f"t{inputs[0]}"], output, kernel_shape=list(kernel), strides=list(strides), pads=pads)

    def _pad(self, _op, inputs: list[int], output: str) -> None:
        paddings = self.constants[inputs[1]][list(_NHWC_TO_NCHW)].T.reshape(-1).astype(np.int64)
        amounts = onnx.numpy_helper.from_array(np.ascontiguousarray(paddings), f"{output}_pads")
        self.graph.initializer.append(amounts)
        self._node("Pad", [f"t{inputs[0]}", amounts.name], output)

    @staticmethod
    def _options(op, options):
        table = op.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        if options.FusedActivationFunction() != tflite.ActivationFunctionType.NONE:
            raise ValueError("a fused activation is not one that the face mesh is known to use")
        return options


def _pads(padding: int, size: list[int], kernel: tuple[int, ...], strides: tuple[int, ...]) -> list[int]:
    """TensorFlow's SAME puts the odd pixel at the end; VALID pads nothing."""
    if padding != tflite.Padding.SAME:
        return [0, 0, 0, 0]
    total = [max((-(-s // t) - 1) * t + k - s, 0) for s, k, t in zip(size, kernel, strides)]
    before = [t // 2 for t in total]
    return [*before, *(t - b for t, b in zip(total, before))]
