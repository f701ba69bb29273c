"""Heat maps: the part that an answer hangs on is the part that is shown."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import maskwise
from commands import invoke, refused
from conftest import TINY, write_set
from maskwise.cli import app
from maskwise.config import ModelSettings
from maskwise.data.manifest import SCHEMA
from maskwise.evaluation.explain import HeatMap, explanation_sheet, heat_picture, occlusion_maps
from maskwise.evaluation.grad_cam import _word_map
from maskwise.models.decision import Decision
from maskwise.models.ensemble import save_decision
from maskwise.models.network import FaceModel
from maskwise.models.probabilities import Probabilities
from maskwise.models.views import Views
from people import person, saved


class Looker:
    """Says 'wear' as far as the lower right corner is white, 'male' as far as the top is."""

    decision = Decision()

    def answer(self, frames: Mapping[str, NDArray[np.uint8]], views: Views) -> Probabilities:
        frame = next(iter(frames.values())).astype(np.float64) / 255
        corner = frame[:, 24:, 24:].mean(axis=(1, 2, 3))
        top = frame[:, :8].mean(axis=(1, 2, 3))
        tasks = {
            "mask": np.stack([corner, (1 - corner) / 2, (1 - corner) / 2], axis=1),
            "gender": np.stack([top, 1 - top], axis=1),
            "age_group": np.full((len(frame), 3), 1 / 3),
        }
        joint = np.einsum("nm,ng,na->nmga", *tasks.values()).reshape(-1, 18)
        return Probabilities(joint.astype(np.float32), tasks, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("grid", [5, 12])
def test_the_part_that_decides_is_hot(grid: int) -> None:
    frame = np.full((32, 32, 3), 255, np.uint8)
    mask, gender, age = occlusion_maps(
        Looker(), {"key": frame}, ["mask", "gender", "age_group"], grid  # type: ignore[arg-type]
    )  # fmt: skip
    assert (mask.word, mask.probability) == ("wear", 1)
    assert mask.values.shape == (32, 32)
    assert mask.values[28:, 28:].min() > 0.3
    assert abs(mask.values[:12]).max() < 1e-6
    assert gender.values[:4].mean() > 0.05
    assert abs(gender.values[20:]).max() < 1e-6
    assert abs(age.values).max() < 1e-6


def test_hot_parts_are_coloured_and_others_grey() -> None:
    frame = np.full((32, 48, 3), (90, 60, 200), np.uint8)
    values = np.zeros((32, 48), np.float32)
    values[:8, :8] = 0.5
    values[20:, 20:] = -0.5  # covering it helps the answer
    picture = np.asarray(heat_picture(frame, values)).astype(int)
    assert picture.shape == (32, 48, 3)
    assert np.ptp(picture[2, 2]) > 20
    assert np.ptp(picture[24, 24]) == 0
    faint = np.asarray(heat_picture(frame, values / 1000)).astype(int)
    assert np.ptp(faint[2, 2]) < 10
    sheet = explanation_sheet(frame, [HeatMap("mask", "not_wear", 0.9, values)], side=96)
    assert sheet.size == (192, 64 + 96 // 9)


def test_photos_are_explained(tmp_path: Path) -> None:
    saved(person(1), tmp_path / "photos" / "a.png")
    saved(person(2), tmp_path / "photos" / "b.png")
    rows = invoke("explain", tmp_path / "photos", "--out", tmp_path / "out", "--grid", 4)
    assert [Path(row["picture"]).name for row in rows] == ["0001-a.png", "0002-b.png"]  # type: ignore[index]
    wanted = maskwise.load().predict(tmp_path / "photos" / "a.png")
    assert rows[0]["mask"][0] == wanted.mask  # type: ignore[index]
    with Image.open(tmp_path / "out" / "0001-a.png") as sheet:
        assert sheet.width == 4 * 256
    (tmp_path / "photos" / "c.png").write_bytes(b"nonsense")
    assert "c.png: not an image" in refused("explain", tmp_path / "photos", "--out", tmp_path / "o")
    assert len(list((tmp_path / "o").iterdir())) == 2


def test_each_box_of_a_manifest_is_explained_and_missing_faces_are_told(tmp_path: Path) -> None:
    both = Image.new("RGB", (2 * 240, 240), "grey")
    for place, number in enumerate((1, 2)):
        both.paste(person(number).resize((240, 240)), (240 * place, 0))
    both.save(tmp_path / "both.png")
    boxes = ["20 20 220 220", "260 20 460 220"]
    rows = [{"photo": "both.png", "person": f"p{n}", "source": "s", "box": box}
            for n, box in enumerate(boxes)]  # fmt: skip
    manifest = tmp_path / "manifest.csv"
    columns = {name: [row.get(name) for row in rows] for name in SCHEMA}
    pl.DataFrame(columns, schema=dict.fromkeys(SCHEMA, pl.String)).write_csv(manifest)
    one, other = invoke("explain", manifest, "--out", tmp_path / "out", "--grid", 2)
    sheets = [Path(row["picture"]).read_bytes() for row in (one, other)]  # type: ignore[index]
    assert sheets[0] != sheets[1]
    # of every face in it the photo is answered once, by its own name
    answers = invoke("predict", manifest, "--all-faces")
    assert {row["ImageID"] for row in answers} == {str(tmp_path / "both.png")}  # type: ignore[index]
    assert len({row["face"] for row in answers}) == len(answers)  # type: ignore[index]
    Image.new("RGB", (64, 64)).save(tmp_path / "blank.png")
    told = CliRunner().invoke(app, ["explain", str(tmp_path / "blank.png"), "--grid", "2", "--out",
                                    str(tmp_path / "blank")])  # fmt: skip
    assert "no face found in 1 photos: centre taken" in told.stderr


class Blocks(nn.Module):
    """A backbone whose features are the mean colours of 4x4 parts; channels last where asked."""

    num_features = 3

    def __init__(self, channels_last: bool) -> None:
        super().__init__()
        self.channels_last = channels_last

    def forward_features(self, photos: torch.Tensor) -> torch.Tensor:
        means = nn.functional.avg_pool2d(photos, photos.shape[2] // 4)
        return means.permute(0, 2, 3, 1) if self.channels_last else means

    def forward_head(self, features: torch.Tensor, pre_logits: bool) -> torch.Tensor:
        assert pre_logits
        return features.mean(dim=(1, 2) if self.channels_last else (2, 3))


@pytest.mark.parametrize("channels_last", [False, True])
def test_grad_cam_is_hot_where_the_features_speak_for_the_word(channels_last: bool) -> None:
    settings = ModelSettings(backbone="test_efficientnet", pretrained="none")
    model = FaceModel(settings, (32, 48))
    model.backbone = Blocks(channels_last)
    model.heads["mask"] = nn.Linear(3, 3)
    with torch.no_grad():
        model.heads["mask"].weight.copy_(torch.eye(3))  # red speaks for wear, green for incorrect
        model.heads["gender"] = nn.Linear(3, 2)
        model.heads["age_group"] = nn.Linear(3, 3)
    photos = torch.zeros(1, 3, 32, 48)
    photos[:, 0, :8, :12], photos[:, 1, 24:, 36:] = 1, 1
    for word, (hot, cold) in enumerate([((0, 0), (-1, -1)), ((-1, -1), (0, 0))]):
        values = _word_map(model, photos, "mask", word)
        assert values.shape == (32, 48)
        assert (values.min(), values.max()) == (0, 1)
        assert values[hot] > 0.5
        assert values[cold] < 0.1
        assert values[16, 24] < 0.3


def test_networks_tell_by_their_features(tmp_path: Path) -> None:
    manifest = write_set(tmp_path / "data", train=18, val=18)
    words = ["train", manifest, *TINY, f"cache.folder={tmp_path / 'cache'}", "train.epochs=1"]
    for name, more in (
        ("heads", ["model.age=distribution", "preprocess.spare=2", "model.pooled_stages=2"]),
        ("apart", ["model.head=tasks"]),
        ("tokens", ["model.backbone=test_vit", "preprocess.height=160", "preprocess.width=160"]),
    ):
        invoke(*words, *more, "--out", tmp_path / name)
    save_decision(
        tmp_path / "heads", Decision(temperatures={"mask": 3, "gender": 1, "age_group": 1})
    )
    photo = next((tmp_path / "data" / "photos").iterdir())
    for name in ("heads", "apart"):
        asked = ["explain", photo, "--model", tmp_path / name, "--out", tmp_path / "out"]
        (found,) = invoke(*asked, "--method", "grad-cam")
        (covered,) = invoke(*asked, "--grid", 3)
        assert found["mask"] == covered["mask"]  # type: ignore[index]
    grad_cam = ["explain", photo, "--method", "grad-cam", "--out", tmp_path / "out", "--model"]
    assert "features are a map" in refused(*grad_cam, tmp_path / "tokens")
    assert "run folder of one network" in refused("explain", photo, "--method", "grad-cam")
    evaluated = invoke("evaluate", tmp_path / "heads", manifest, "--explain", "--set",
                       f"cache.folder={tmp_path / 'cache'}")  # fmt: skip
    page = Path(evaluated["report"]).read_text()
    mistakes = page.count('alt="mistaken photo"')
    assert mistakes > 0
    assert page.count('alt="what the answer hangs on"') == mistakes
