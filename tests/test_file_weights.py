"""First weights made of the int8 file in the package."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import timm
import torch
from accelerate import Accelerator
from benchmarks.shipped.file_weights import (
    WEIGHTS,
    load_convolutions,
    make_file_weights,
)
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from maskwise.config import ModelSettings
from maskwise.data.manifest import manifest_from_rows, write_manifest
from maskwise.errors import SettingsError, WeightsError
from maskwise.labels import MaskState
from maskwise.models.bundled_weights import NORMS, bundled_weights, read_weights
from maskwise.models.loading import SHIPPED
from maskwise.models.network import FaceModel
from maskwise.models.onnx_classifier import OnnxClassifier
from maskwise.models.views import Views
from maskwise.models.weights import head_weights, load_head_weights
from maskwise.settings import load_settings
from maskwise.training.lineage import seen_sources
from maskwise.training.setup import build_model
from maskwise.transforms.network_input import network_input, to_planes
from people import person, saved


@pytest.fixture(scope="module")
def people_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of drawn people, in frames of the bundled model's size."""
    folder = tmp_path_factory.mktemp("people")
    size = OnnxClassifier.load(SHIPPED).info.preprocess.frame_size
    rows = []
    for number in range(36):
        photo = saved(person(number, list(MaskState)[number % 3]), folder / f"{number}.png")
        with Image.open(photo) as opened:
            opened.resize(size).save(photo)
        row = {"photo": str(photo), "person": str(number), "source": "drawn", "fold": "train"}
        rows.append(row)
    write_manifest(manifest_from_rows(rows), folder / "people.csv")
    return folder / "people.csv"


def check_answers(model: FaceModel, people_photos: Path) -> None:
    """The network predicts what the file does."""
    file = OnnxClassifier.load(SHIPPED)
    preprocess = file.info.preprocess
    paths = sorted(people_photos.parent.glob("*.png"))
    pixels = np.stack([np.asarray(Image.open(path)) for path in paths])
    answered = file.answer({preprocess.frame_key: pixels}, Views.named("flip"))
    looks = [pixels, pixels[:, :, ::-1].copy()]
    with torch.inference_mode():
        outputs = [
            model.eval()(network_input(to_planes(torch.from_numpy(look)), preprocess))
            for look in looks
        ]
    for task, own in answered.tasks.items():
        found = sum(torch.softmax(output[task], dim=1).numpy() for output in outputs) / 2
        assert (found.argmax(axis=1) == own.argmax(axis=1)).mean() > 0.9, task
        for word in range(own.shape[1]):  # the file tells them at a temperature
            if own[:, word].std() > 0.02:
                assert np.corrcoef(own[:, word], found[:, word])[0, 1] > 0.9, (task, word)
    assert len(set(answered.tasks["mask"].argmax(axis=1))) == 3


def test_the_network_answers_as_the_file(people_photos: Path, tmp_path: Path) -> None:
    make_file_weights(people_photos, tmp_path)
    settings = ModelSettings(backbone="mobilenetv1_100", age="distribution", dropout=0.1)
    model = FaceModel(settings, OnnxClassifier.load(SHIPPED).info.preprocess.frame_size)
    model.load_state_dict(load_file(tmp_path / WEIGHTS))
    load_head_weights(model.heads, head_weights(tmp_path), "made")
    check_answers(model, people_photos)
    made, shipped = load_file(tmp_path / NORMS.name), load_file(NORMS)
    assert {name: value.shape for name, value in made.items()} == {
        name: value.shape for name, value in shipped.items()
    }


def test_training_begins_with_the_bundled_model(people_photos: Path) -> None:
    words = ["model.pretrained=bundled", "model.backbone=mobilenetv1_100", "model.dropout=0.1",
             "model.pretrained_heads=true", "model.age=distribution", "preprocess.width=136",
             "preprocess.height=168"]  # fmt: skip
    settings = load_settings(None, words)
    model, preprocess, origin = build_model(settings, Accelerator(cpu=True))
    check_answers(model, people_photos)
    bundled = OnnxClassifier.load(SHIPPED)
    assert (preprocess.mean, preprocess.std) == (
        bundled.info.preprocess.mean, bundled.info.preprocess.std
    )  # fmt: skip
    assert origin.startswith("maskwise.onnx, SHA-256 ")
    assert seen_sources(["mine"], settings) == {"mine", *(bundled.info.trained_on or ())}
    norms = [module for module in model.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert any(float(norm.running_mean.abs().max()) > 0.1 for norm in norms)  # type: ignore[union-attr]


def test_the_bundled_model_needs_its_backbone_and_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="set backbone to it instead of tf_efficientnet_lite0"):
        load_settings(None, ["model.pretrained=bundled"])
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(WeightsError, match=r"pip install 'maskwise\[export\]'"):
        bundled_weights()


def test_weights_of_another_network_are_refused() -> None:
    convolutions, heads = read_weights(onnx.load(SHIPPED))
    assert {name.split(".")[1] for name in heads} == {"mask", "gender", "age_group"}
    assert len(convolutions) == 2 * 27
    with pytest.raises(ValueError, match=r"of another network(.|\n)*blocks"):
        load_convolutions(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), convolutions)
    convolutions["conv_stem.weight"] = convolutions["conv_stem.weight"][:1]
    network = timm.create_model("mobilenetv1_100", num_classes=0)
    with pytest.raises(ValueError, match="conv_stem has other kernels"):
        load_convolutions(network, convolutions)
