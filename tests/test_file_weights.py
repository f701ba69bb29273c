"""First weights made of the int8 file in the package."""

from pathlib import Path

import numpy as np
import onnx
import pytest
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
from maskwise.models.loading import SHIPPED
from maskwise.models.network import FaceModel
from maskwise.models.onnx_classifier import OnnxClassifier
from maskwise.models.views import Views
from maskwise.models.weights import load_head_weights
from maskwise.transforms.network_input import network_input, to_planes
from people import person


def test_the_network_answers_as_the_file(tmp_path: Path) -> None:
    rows = []
    for number in range(24):
        photo = tmp_path / f"{number}.png"
        person(number).save(photo)
        row = {"photo": str(photo), "person": str(number), "source": "drawn", "fold": "train"}
        rows.append(row)
    write_manifest(manifest_from_rows(rows), tmp_path / "people.csv")
    make_file_weights(tmp_path / "people.csv", tmp_path / "made")
    model = FaceModel(ModelSettings(backbone="mobilenetv1_100", age="distribution", dropout=0.1),
                      (160, 160))  # fmt: skip
    model.load_state_dict(load_file(tmp_path / "made" / WEIGHTS))
    load_head_weights(model.heads, tmp_path / "made")

    file = OnnxClassifier.load(SHIPPED)
    preprocess = file.info.preprocess
    frames = np.stack([np.asarray(Image.open(row["photo"]).resize((160, 160))) for row in rows])
    answered = file.answer({preprocess.frame_key: frames}, Views())
    with torch.inference_mode():
        inputs = network_input(to_planes(torch.from_numpy(frames)), preprocess)
        outputs = model.eval()(inputs)
    for task, own in answered.tasks.items():
        log_odds = np.log(own.clip(1e-6)) - np.log(own.clip(1e-6)).mean(axis=1, keepdims=True)
        scores = torch.log_softmax(outputs[task], dim=1).numpy()
        scores -= scores.mean(axis=1, keepdims=True)
        # the file tells them at a temperature
        assert np.corrcoef(log_odds.ravel(), scores.ravel())[0, 1] > 0.97, task


def test_weights_of_another_network_are_refused() -> None:
    convolutions, heads = read_weights(onnx.load(SHIPPED))
    assert {name.split(".")[1] for name in heads} == {"mask", "gender", "age_group"}
    assert len(convolutions) == 2 * 27
    with pytest.raises(ValueError, match=r"of another network(.|\n)*blocks"):
        load_convolutions(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), convolutions)
