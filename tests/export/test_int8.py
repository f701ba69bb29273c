"""int8 graphs whose values keep the means of those in floats."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from maskwise.export import int8
from maskwise.export.onnx_graph import to_onnx
from maskwise.models.onnx_file import FRAMES

FRAME_SET = np.random.default_rng(0).integers(0, 256, (64, 24, 24, 3), dtype=np.uint8)


class Small(nn.Module):
    """Depthwise and pointwise layers whose channels range very differently, and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers: list[nn.Module] = [nn.Conv2d(3, 16, 3), nn.ReLU6()]
        for _ in range(4):
            depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
            depthwise.weight.data *= torch.logspace(-2, 1, 16)[:, None, None, None]
            layers += [depthwise, nn.ReLU6(), nn.Conv2d(16, 16, 1), nn.ReLU6()]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(16, 5)

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        frames = values[0].permute(0, 3, 1, 2).float() / 255
        found: torch.Tensor = self.head(self.layers(frames).mean((2, 3)) * 10)
        return found


def answers(model: onnx.ModelProto) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found: NDArray[np.float32] = session.run(None, {FRAMES: FRAME_SET})[0]
    return found


def test_means_are_put_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = to_onnx(Small(), [torch.from_numpy(FRAME_SET[:2])], [FRAMES], ["found"])

    def errors() -> tuple[float, float]:
        small = int8.to_int8(whole, iter(np.split(FRAME_SET, 4)), tmp_path)
        kinds = {node.op_type for node in small.graph.node}
        assert {"QuantizeLinear", "Gemm"} <= kinds
        wanted, found = (answers(model) for model in (whole, small))
        return abs(found - wanted).mean(), abs((found - wanted).mean(axis=0)).max()

    error, shift = errors()
    monkeypatch.setattr(int8, "correct_means", lambda *_: None)
    plain_error, plain_shift = errors()
    assert shift < plain_shift / 4
    assert error < plain_error


class Deep(nn.Module):
    """Linear layers within, as transformers have them, and two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.within = nn.Sequential(nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 12))
        self.heads = nn.ModuleList([nn.Linear(12, 3), nn.Linear(12, 2)])

    def forward(self, *values: torch.Tensor) -> list[torch.Tensor]:
        found = self.within(values[0].flatten(1)[:, :12].float())
        return [head(found) for head in self.heads]


def test_only_the_last_layers_stay_in_floats(tmp_path: Path) -> None:
    names = ["first", "second"]
    whole = to_onnx(Deep(), [torch.from_numpy(FRAME_SET[:2])], [FRAMES], names)
    small = int8.to_int8(whole, iter(np.split(FRAME_SET, 4)), tmp_path)
    made = {name: node for node in small.graph.node for name in node.output}
    layers = [node for node in small.graph.node if node.op_type in ("Gemm", "MatMul")]
    scaled = {name for name, node in made.items() if node.op_type == "DequantizeLinear"}
    exact = [node.output[0] for node in layers if node.input[1] not in scaled]
    assert (len(layers), sorted(exact)) == (4, names)
