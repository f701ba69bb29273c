"""int8 graphs: their values keep the means of those in floats, and no sum of products overflows."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from torch import nn

from maskwise.errors import RunError
from maskwise.export import int8
from maskwise.export.onnx_graph import to_onnx
from maskwise.models import onnx_classifier
from maskwise.models.int8_support import adds_products_exactly
from maskwise.models.loading import SHIPPED
from maskwise.models.onnx_classifier import OnnxClassifier
from maskwise.models.onnx_file import (
    ABOUT,
    FRAMES,
    SEAL,
    UNSEALED,
    OnnxInfo,
    exact_options,
    seal,
)
from maskwise.models.views import Views

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


def answers(model: onnx.ModelProto, exact: bool = False) -> NDArray[np.float32]:
    options = exact_options() if exact else onnxruntime.SessionOptions()
    session = InferenceSession(model.SerializeToString(), options)
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


class Bright(nn.Module):
    """A wide pointwise layer of equal weights: with 8 bits every pair of products overflows."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3)
        self.second = nn.Conv2d(32, 8, 1, bias=True)
        nn.init.uniform_(self.first.weight, 0.9, 1.0)
        nn.init.uniform_(self.second.weight, 0.9, 1.0)
        self.head = nn.Linear(8, 4)

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        frames = values[0].permute(0, 3, 1, 2).float() / 255
        found: torch.Tensor = self.head(self.second(self.first(frames)).mean((2, 3)))
        return found


def bright_graph() -> onnx.ModelProto:
    torch.manual_seed(0)
    return to_onnx(Bright(), [torch.from_numpy(FRAME_SET[:2])], [FRAMES], ["found"])


def test_int8_predicts_the_same_on_every_processor(tmp_path: Path) -> None:
    small = int8.to_int8(bright_graph(), iter(np.split(FRAME_SET, 4)), tmp_path)
    weights = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in small.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4
    ]
    assert len(weights) == 2
    assert all(abs(values.astype(int)).max() == int8.LARGEST_WEIGHT for values in weights)
    found, exact = answers(small), answers(small, exact=True)
    # where kernels saturate, these answers differ by half of their range
    np.testing.assert_allclose(found, exact, atol=0.02 * np.ptp(exact))


def test_weights_that_could_overflow_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = int8.quantize_static

    def with_8_bits(*given: object, **options: object) -> None:
        whole(*given, **{**options, "reduce_range": False})

    monkeypatch.setattr(int8, "quantize_static", with_8_bits)
    with pytest.raises(RunError, match=r"from -64 to 64(.|\n)*VNNI(.|\n)*has 127(.|\n)*has 127"):
        int8.to_int8(bright_graph(), iter(np.split(FRAME_SET, 4)), tmp_path)


@pytest.mark.parametrize(
    ("machine", "flags", "exact"),
    [
        ("x86_64", "fpu avx2 avx512f avx512_vnni", True),
        ("AMD64", "fpu avx2 avx_vnni", True),
        ("x86_64", "fpu avx2 fma", False),
        ("aarch64", "", True),
        ("arm64", "", True),
    ],
)
def test_processors_that_add_products_exactly(
    tmp_path: Path, machine: str, flags: str, exact: bool
) -> None:
    listed = tmp_path / "cpuinfo"
    listed.write_text(f"processor : 0\nflags\t\t: {flags}\n\n")
    assert adds_products_exactly(machine, listed) is exact


def test_an_unknown_processor_is_not_trusted(tmp_path: Path) -> None:
    assert not adds_products_exactly("x86_64", tmp_path / "missing")


def test_older_files_are_computed_exactly_where_kernels_overflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = onnx.load(SHIPPED)
    for entry in graph.metadata_props:
        if entry.key == ABOUT:
            info = OnnxInfo.model_validate_json(entry.value)
            entry.value = info.model_copy(update={"weight_bits": None}).model_dump_json()
        if entry.key == SEAL:
            entry.value = UNSEALED
    older = tmp_path / "older.onnx"
    seal(graph.SerializeToString(), older)
    bundled = OnnxClassifier.load(SHIPPED)
    preprocess = bundled.info.preprocess
    shape = (4, preprocess.height, preprocess.width, 3)
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    frames, once = {preprocess.frame_key: pixels}, Views.named("1")

    monkeypatch.setattr(onnx_classifier, "adds_products_exactly", lambda: True)
    OnnxClassifier.load(older)  # without a warning
    monkeypatch.setattr(onnx_classifier, "adds_products_exactly", lambda: False)
    with pytest.warns(RuntimeWarning, match=r"older\.onnx has 8-bit weights"):
        exact = OnnxClassifier.load(older)
    wanted = InferenceSession(older, exact_options()).run(["mask"], {FRAMES: pixels})[0]
    np.testing.assert_array_equal(exact.answer(frames, once).tasks["mask"], wanted)
    OnnxClassifier.load(SHIPPED)  # without a warning
