"""ONNX graphs from torch modules, and what is done to them: joined, in int8, with metadata."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import onnx
import torch
from onnx_ir import passes
from onnx_ir.passes import common
from torch import nn

_OPSET: Final = 20
_ANY_SIZE: Final = 1 << 62
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

    The first axis of inputs and outputs is the batch. What networks have in common, such as first
    layers that one of them took over from another, is stored and computed once.
    """
    batch = torch.export.Dim(_BATCH, min=1, max=_MOST)
    shapes = tuple({0: batch} for _ in inputs)
    with quietly("torch.onnx", "onnxscript"):
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
    in_common = passes.Sequential(
        common.DeduplicateInitializersPass(_ANY_SIZE), common.CommonSubexpressionEliminationPass()
    )
    in_common(program.model)
    model: onnx.ModelProto = program.model_proto
    return model


@contextmanager
def quietly(*names: str) -> Iterator[None]:
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
