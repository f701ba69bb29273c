"""First weights made of the int8 file in the package."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import timm
import torch
from benchmarks.shipped.file_weights import (
    WEIGHTS,
    load_convolutions,
    make_file_weights,
    read_weights,
)
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from maskwise.config import ModelSettings
from maskwise.data.manifest import manifest_from_rows, write_manifest
from maskwise.labels import MaskState
from maskwise.models.loading import SHIPPED
from maskwise.models.network import FaceModel
from maskwise.models.onnx_classifier import OnnxClassifier
from maskwise.models.views import Views
from maskwise.models.weights import load_head_weights
from maskwise.transforms.network_input import network_input, to_planes
from people import person, saved


def test_the_network_answers_as_the_file(tmp_path: Path) -> None:
    file = OnnxClassifier.load(SHIPPED)
    preprocess = file.info.preprocess
    rows, frames = [], []
    for number in range(36):
        photo = saved(person(number, list(MaskState)[number % 3]), tmp_path / f"{number}.png")
        row = {"photo": str(photo), "person": str(number), "source": "drawn", "fold": "train"}
        rows.append(row)
        frames.append(np.asarray(Image.open(photo).resize(preprocess.frame_size)))
    write_manifest(manifest_from_rows(rows), tmp_path / "people.csv")
    make_file_weights(tmp_path / "people.csv", tmp_path / "made")
    settings = ModelSettings(backbone="mobilenetv1_100", age="distribution", dropout=0.1)
    model = FaceModel(settings, preprocess.frame_size).eval()
    model.load_state_dict(load_file(tmp_path / "made" / WEIGHTS))
    load_head_weights(model.heads, tmp_path / "made")

    pixels = np.stack(frames)
    answered = file.answer({preprocess.frame_key: pixels}, Views.named("flip"))
    looks = [pixels, pixels[:, :, ::-1].copy()]
    with torch.inference_mode():
        outputs = [
            model(network_input(to_planes(torch.from_numpy(look)), preprocess)) for look in looks
        ]
    for task, own in answered.tasks.items():
        found = sum(torch.softmax(output[task], dim=1).numpy() for output in outputs) / 2
        assert (found.argmax(axis=1) == own.argmax(axis=1)).mean() > 0.9, task
        for word in range(own.shape[1]):  # the file tells them at a temperature
            if own[:, word].std() > 0.02:
                assert np.corrcoef(own[:, word], found[:, word])[0, 1] > 0.9, (task, word)
    assert len(set(answered.tasks["mask"].argmax(axis=1))) == 3


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
