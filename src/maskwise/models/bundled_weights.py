"""Weights of the bundled model, to train on from, read from its int8 file."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from maskwise.errors import WeightsError
from maskwise.models.loading import SHIPPED
from maskwise.models.weights import BACKBONE, HEADS, StateDict

if TYPE_CHECKING:
    import onnx

NORMS: Final = SHIPPED.with_name("norms.safetensors")
"""The batch norms of the bundled model: in its int8 file they are part of the convolutions."""
_NETWORK: Final = "networks.0."
Arrays = dict[str, NDArray[Any]]


def bundled_weights() -> StateDict:
    """Return the weights of the bundled model, by the names of a model folder.

    Raises:
        WeightsError: The package onnx, which reads the file, is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise WeightsError(
            "model.pretrained=bundled reads the bundled model's file with the package onnx, which "
            "is not installed: pip install 'maskwise[export]'"
        ) from error
    convolutions, heads = read_weights(onnx.load(SHIPPED))
    kernels = {name: values for name, values in convolutions.items() if name.endswith(".weight")}
    arrays = {f"{BACKBONE}{name}": values for name, values in kernels.items()} | heads
    weights = {name: torch.from_numpy(values.copy()) for name, values in arrays.items()}
    return weights | load_file(NORMS)


def read_weights(graph: "onnx.ModelProto") -> tuple[Arrays, Arrays]:
    """Return kernels and biases of an int8 graph's convolutions, and its heads' weights, by name.

    Heads have the names that a model folder has; convolutions those of the backbone's weights.
    """
    from onnx import numpy_helper

    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    parts = {node.output[0]: node.input for node in graph.graph.node}
    convolutions: Arrays = {}
    for node in graph.graph.node:
        if node.op_type != "Conv":
            continue
        kernel, bias = (parts[name] for name in node.input[1:3])
        name = kernel[0].removeprefix(f"{_NETWORK}{BACKBONE}").removesuffix(".weight_quantized")
        scale = stored[kernel[1]].reshape(-1, 1, 1, 1)
        convolutions[f"{name}.weight"] = stored[kernel[0]].astype(np.float32) * scale
        convolutions[f"{name}.bias"] = stored[bias[0]].astype(np.float32) * stored[bias[1]]
    heads = {
        name.removeprefix(_NETWORK): values
        for name, values in stored.items()
        if name.startswith(f"{_NETWORK}{HEADS}")
    }
    return convolutions, heads
