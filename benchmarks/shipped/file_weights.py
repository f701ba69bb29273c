"""Turns an int8 file of the bundled model back into pretrained weights, to train on from.

    python -m benchmarks.shipped.file_weights MANIFEST --out packaged [--file maskwise.onnx]

writes `packaged/model.safetensors`, which `model.pretrained=packaged model.pretrained_heads=true`
begins with. Weights stand in the file by layer and channel in int8, with the batch norms within;
the norms are given statistics of some training faces of MANIFEST, so that answers stay the same.
The norms alone are in `packaged/norms.safetensors`: of the file in the package they go beside it,
for `model.pretrained=bundled`.
"""

import argparse
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmarks.shipped.face_weights import give_statistics
from maskwise.config import CacheSettings
from maskwise.export.export_model import training_frames
from maskwise.models.bundled_weights import NORMS, Arrays, read_weights
from maskwise.models.loading import SHIPPED
from maskwise.models.onnx_classifier import OnnxClassifier
from maskwise.storage import replacing
from maskwise.transforms.network_input import middle, network_input, to_planes

BACKBONE: Final = "mobilenetv1_100"
FACES: Final = 256
WEIGHTS: Final = "model.safetensors"


def load_convolutions(network: nn.Module, convolutions: Arrays) -> None:
    """Give convolutions their kernels, and the norm after each its bias and a scale of 1.

    Raises:
        ValueError: a layer of the network has no weights among them, or one of another shape.
    """
    modules = dict(network.named_modules())
    names = [name for name, module in modules.items() if isinstance(module, nn.Conv2d)]
    norms = [module for module in modules.values() if isinstance(module, _BatchNorm)]
    found = {name.rpartition(".")[0] for name in convolutions}
    if found != set(names) or len(names) != len(norms):
        raise ValueError(f"the file is of another network; it differs in {found ^ set(names)}")
    shapes = {name: tuple(modules[name].weight.shape) for name in names}
    other = [name for name in names if convolutions[f"{name}.weight"].shape != shapes[name]]
    if other:
        raise ValueError(f"the file is of another network: {other[0]} has other kernels")
    with torch.no_grad():
        for name, norm in zip(names, norms, strict=True):
            modules[name].weight.copy_(torch.from_numpy(convolutions[f"{name}.weight"]))
            norm.weight.fill_(1)
            norm.bias.copy_(torch.from_numpy(convolutions[f"{name}.bias"]))


def training_faces(manifest: Path, classifier: OnnxClassifier) -> torch.Tensor:
    """Return some training faces of a manifest, normalised: (N, 3, height, width)."""
    preprocess = classifier.info.preprocess
    batches = training_frames(manifest, classifier, preprocess, CacheSettings())
    pixels = torch.from_numpy(np.concatenate(list(batches))[:FACES])
    return network_input(to_planes(middle(pixels, preprocess.spare)), preprocess)


def make_file_weights(manifest: Path, out: Path, file: Path = SHIPPED) -> None:
    """Write a folder with the weights of an int8 file: of the one in the package, or another."""
    convolutions, heads = read_weights(onnx.load(file))
    network: Any = timm.create_model(BACKBONE, num_classes=0)
    load_convolutions(network, convolutions)
    give_statistics(network, training_faces(manifest, OnnxClassifier.load(file)))
    weights = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    norms = {
        f"backbone.{name}.{key}": value.clone()
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm)
        for key, value in module.state_dict().items()
    }
    weights |= {name: torch.from_numpy(values.copy()) for name, values in heads.items()}
    out.mkdir(parents=True, exist_ok=True)
    for name, tensors in ((WEIGHTS, weights), (NORMS.name, norms)):
        with replacing(out / name) as path:
            save_file(tensors, path)


def main() -> None:
    """Write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--file", type=Path, default=SHIPPED)
    options = parser.parse_args()
    make_file_weights(options.manifest, options.out, options.file)


if __name__ == "__main__":
    main()
