"""ONNX graphs from torch modules, and what is done to them: joined, in int8, with metadata."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from maskwise.models.onnx_file import FRAMES

_OPSET: Final = 20
_MOST: Final = 1 << 16
"""Photos in a batch that the graph's shapes are proven for."""
VALUES: Final = "values"
_BATCH: Final = "n"
_PREFIX: Final = "answers/"


def to_onnx(
    module: nn.Module,
    inputs: Sequence[torch.Tensor],
    input_names: Sequence[str],
    output_names: Sequence[str],
) -> onnx.ModelProto:
    """Return the graph of a module whose forward takes `*values`.

    The first axis of inputs and outputs is the batch.
    """
    batch = torch.export.Dim(_BATCH, min=1, max=_MOST)
    shapes = tuple({0: batch} for _ in inputs)
    with _quietly("torch.onnx", "onnxscript"):
        traced = torch.export.export(
            module.eval(), tuple(inputs), dynamic_shapes={VALUES: shapes}, strict=False
        )
        program = torch.onnx.export(
            traced,
            dynamo=True,
            opset_version=_OPSET,
            input_names=list(input_names),
            output_names=list(output_names),
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter gave no graph")
    model: onnx.ModelProto = program.model_proto
    return model


@contextmanager
def _quietly(*names: str) -> Iterator[None]:
    """Keep from the user what libraries warn and log of their own parts."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


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

    `folder` is for files on the way.
    """
    whole, ready, small = (folder / f"{name}.onnx" for name in ("whole", "ready", "small"))
    onnx.save(model, whole)
    with _quietly("root"):
        quant_pre_process(whole, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            small,
            _Photos(batches),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
    return onnx.load(small)


def join(first: onnx.ModelProto, second: onnx.ModelProto) -> onnx.ModelProto:
    """Return one graph: all outputs of the first are the inputs of the second, in order."""
    second = onnx.compose.add_prefix(second, _PREFIX, rename_outputs=False)
    pairs = [
        (out.name, into.name)
        for out, into in zip(first.graph.output, second.graph.input, strict=True)
    ]
    second.ir_version = first.ir_version
    joined: onnx.ModelProto = onnx.compose.merge_models(first, second, io_map=pairs)
    del joined.graph.value_info[:]  # whose names of the batch are of the exporter's making
    for value in (*joined.graph.input, *joined.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH
    onnx.checker.check_model(joined)
    return joined


def with_metadata(model: onnx.ModelProto, values: Mapping[str, str]) -> bytes:
    """Return the bytes of a graph with metadata, and without what only its making told."""
    model.producer_name = "maskwise"
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(values))
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def inputs_of(outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return random values in the place of a first graph's outputs, to trace a second one by."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(value.shape, generator=generator) for value in outputs]
