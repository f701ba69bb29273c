"""ONNX graphs in int8: static, weights by channel in 7 bits, with their means put right.

ONNX Runtime multiplies uint8 activations with int8 weights. x86-64 processors without VNNI add two
such products in 16 bits (the instruction `vpmaddubsw`), which saturates beyond 32,767. A weight of
at most 64 cannot get there: 255 * 64 * 2 = 32,640. So weights take the values -64 to 64, and the
file predicts the same on every processor.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime import InferenceSession
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from maskwise.errors import RunError, listed
from maskwise.export.onnx_graph import quietly
from maskwise.models.onnx_file import FRAMES, exact_options

LARGEST_WEIGHT: Final = 64
"""Largest absolute int8 weight whose products with uint8 values any processor adds exactly."""
_LAYERS: Final = ("Conv", "Gemm", "MatMul")
_SAME_VALUES: Final = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity")
"""Operators between a weight and its layer that change its shape only."""
_SEEN: Final = 192
"""Frames that means are taken over, at least; those of whole batches."""
_PART: Final = 32
_QUANTIZED: Final = "_DequantizeLinear_Output"
"""What the quantizer adds to the name of a value."""
Means = NDArray[np.float64]


class _Photos(CalibrationDataReader):  # type: ignore[misc] # the runtime has no types
    """Batches of frames that the ranges of int8 values are found on."""

    def __init__(self, batches: Iterator[NDArray[np.uint8]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the next batch, or None."""
        batch = next(self._batches, None)
        return None if batch is None else {FRAMES: batch}


def to_int8(
    model: onnx.ModelProto, batches: Iterator[NDArray[np.uint8]], folder: Path
) -> onnx.ModelProto:
    """Return a graph whose weights (by channel) and activations are int8, as frames range.

    Heads stay as they are: they have few weights, and their values are the answers. `folder` is for
    files on the way.

    Raises:
        RunError: a weight is so large that sums of products can overflow.
    """
    kept = list(batches)
    whole, ready, small = (folder / f"{name}.onnx" for name in ("whole", "ready", "small"))
    onnx.save(model, whole)
    with quietly("root"):
        quant_pre_process(whole, ready, skip_symbolic_shape=True)
        exact = onnx.load(ready)
        quantize_static(
            ready,
            small,
            _Photos(iter(kept)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,  # of weights: 7 bits; activations keep 8
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=_heads(exact),
        )
    quantized = onnx.load(small)
    correct_means(exact, quantized, _frames(kept))
    check_overflow(quantized)
    return quantized


def check_overflow(model: onnx.ModelProto) -> None:
    """Check that no sum of two products of a quantized graph can overflow 16 bits.

    Raises:
        RunError: a layer has an int8 weight beyond -64 to 64; it names all such layers.
    """
    made = {name: node for node in model.graph.node for name in node.output}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    problems = []
    for node in model.graph.node:
        if node.op_type not in _LAYERS:
            continue
        for weight in filter(None, (_int8_values(name, made, stored) for name in node.input)):
            largest = int(abs(numpy_helper.to_array(weight).astype(np.int64)).max(initial=0))
            if largest > LARGEST_WEIGHT:
                problems.append(f"{node.name or node.output[0]}: {weight.name} has {largest}")
    if problems:
        raise RunError(
            f"int8 weights must be from -{LARGEST_WEIGHT} to {LARGEST_WEIGHT}: larger ones can "
            "overflow on processors without VNNI, and the file would predict differently there:\n"
            f"{listed(problems)}"
        )


def _int8_values(
    name: str, made: Mapping[str, onnx.NodeProto], stored: Mapping[str, onnx.TensorProto]
) -> onnx.TensorProto | None:
    """Return the stored int8 tensor that a layer's input is computed from, if it is a weight."""
    while (node := made.get(name)) is not None and (
        node.op_type == "DequantizeLinear" or node.op_type in _SAME_VALUES
    ):
        name = node.input[0]
    tensor = stored.get(name)
    return tensor if tensor is not None and tensor.data_type == onnx.TensorProto.INT8 else None


def _heads(model: onnx.ModelProto) -> list[str]:
    """Return the layers that no other one follows: a transformer has such products within, too."""
    followed: set[str] = set()  # values that a layer is computed from
    heads = []
    for node in reversed(model.graph.node):
        layer = node.op_type in _LAYERS
        if followed.intersection(node.output):
            followed.update(node.input)
        elif layer and node.op_type != "Conv":
            heads.append(node.name)
        if layer:
            followed.update(node.input)
    return heads


def _frames(batches: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.concatenate(list(islice(batches, -(-_SEEN // len(batches[0])))))


def correct_means(
    whole: onnx.ModelProto, quantized: onnx.ModelProto, frames: NDArray[np.uint8]
) -> None:
    """Change biases of a quantized graph so that its values have the means of the whole one's.

    Rounding moves the mean of each channel, and the next layers move with it, most of all in
    depthwise convolutions. So each convolution, from the first on, is given the mean back that it
    has over some frames (n, height, width, 3): the empirical bias correction of Nagel, van Baalen,
    Blankevoort, Welling, Data-Free Quantization Through Weight Equalization and Bias Correction,
    ICCV 2019, section 4.2; here of values after the activation.
    """
    made = {name: node for node in quantized.graph.node for name in node.output}
    known = {name for node in whole.graph.node for name in node.output}
    stored = {tensor.name: tensor for tensor in quantized.graph.initializer}
    layers = [
        node
        for node in quantized.graph.node
        if node.op_type in ("Conv", "Gemm") and len(node.input) > 2 and node.output[0] in known
    ]
    wanted = _means(whole, [node.output[0] for node in layers], frames)
    for node, mean in zip(layers, wanted, strict=True):
        name = node.output[0]
        seen = name + _QUANTIZED if name + _QUANTIZED in made else name
        missing = mean - _means(quantized, [seen], frames)[0]
        source = made.get(node.input[2])  # a bias in int32 is scaled; in floats it stands there
        bias = stored[source.input[0] if source else node.input[2]]
        scale = numpy_helper.to_array(stored[source.input[1]]) if source else 1.0
        values = numpy_helper.to_array(bias)
        more = missing / scale
        changed = values + (np.round(more) if source else more)
        bias.CopyFrom(numpy_helper.from_array(changed.astype(values.dtype), bias.name))


def _means(model: onnx.ModelProto, names: Sequence[str], frames: NDArray[np.uint8]) -> list[Means]:
    """Return the mean of each channel of some values of a graph, over frames, computed exactly."""
    told = onnx.ModelProto()
    told.CopyFrom(model)
    told.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    session = InferenceSession(
        told.SerializeToString(), exact_options(), providers=["CPUExecutionProvider"]
    )
    parts = np.array_split(frames, -(-len(frames) // _PART))
    sums = [np.zeros(1)] * len(names)
    for part in parts:
        found = session.run(list(names), {FRAMES: part})
        for place, values in enumerate(found):
            others = tuple(axis for axis in range(values.ndim) if axis != 1)
            sums[place] = sums[place] + values.mean(axis=others, dtype=np.float64) * len(part)
    return [total / len(frames) for total in sums]
