"""The script that makes the model that comes along, run small."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import timm
import torch
from benchmarks.shipped import __main__ as script
from benchmarks.shipped import teacher
from numpy.typing import NDArray
from safetensors.torch import save_file
from typer.testing import CliRunner

from maskwise.cli import app
from maskwise.data.manifest import manifest_from_rows, read_manifest
from maskwise.evaluation.tables import read_probabilities
from maskwise.labels import TASKS, MaskState
from maskwise.models.onnx_classifier import OnnxClassifier
from maskwise.training.losses.labels import Labels
from people import person, saved

SMALL = (
    "train.epochs=4", "train.epoch_photos=16", "train.batch_size=16", "train.amp=no",
    "train.compile=false", "preprocess.height=64", "preprocess.width=64", "cache.workers=0",
    "optim.lr=1e-6", "train.device=cpu",
)  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Drawn people in the three folders that the script expects."""
    data = tmp_path / "photos"
    for number in range(16):
        name = f"{22 + 3 * number}_{number % 2}_2_20170112{number:09d}.jpg.chip.jpg"
        saved(person(number), data / "utkface" / name)
    for number, decade in enumerate(("20F", "20M", "30F", "30M", "40F", "40M")):
        saved(person(30 + number), data / "asian_decades" / decade / f"{number}-0.jpg")
    for number in range(24):
        state = list(MaskState)[number % 3]
        name = f"ilc-{number:012x}-0.jpg"
        saved(person(50 + number, state), data / "mask_photos" / str(state) / name)
    return data


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in this process, as one each would take minutes; few heads teach little."""

    def invoked(*words: object) -> None:
        # a network that has learnt nothing is unsure of two photos, and int8 changes its mind
        words += ("--min-agreement", 0) if words[0] == "export" else ()
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.output + repr(result.exception)

    monkeypatch.setattr(script, "maskwise", invoked)
    monkeypatch.setattr(teacher, "maskwise", invoked)
    for name, value in {"EPOCHS": 1, "MEMBERS": 1, "FOLDS": 2, "BATCH": 8}.items():
        monkeypatch.setattr(teacher, name, value)


def first_weights(_: Path, __: Path, out: Path) -> None:
    torch.manual_seed(0)
    save_file(timm.create_model("mobilenetv1_100", num_classes=0).state_dict(), out)


@pytest.mark.usefixtures("here")
def test_a_file_is_made_of_photos(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(script, "make_face_weights", first_weights)
    out = tmp_path / "out"
    words = [str(data), "none.json", "--out", str(out), *SMALL]
    script.main(words)
    assert "| bare faces |" in capsys.readouterr().out
    frame = pl.read_csv(out / "all.csv", infer_schema=False)
    assert set(frame["fold"]) == {"train", "val", "test"}
    assert frame.group_by("person").agg(pl.col("fold").n_unique())["fold"].max() == 1
    assert len(frame) > 60
    file = OnnxClassifier.load(out / "maskwise.onnx")
    assert file.info.precision == "int8"
    assert file.info.preprocess.frame_size == (64, 64)
    assert set(json.loads((out / "figures.json").read_text())) >= {"bare faces", "drawn masks"}
    made = [out / name for name in ("all.csv", "faces.safetensors", "teacher.csv")]
    times = [path.stat().st_mtime_ns for path in made]
    (out / "maskwise.onnx").unlink()
    script.main(words)
    assert times == [path.stat().st_mtime_ns for path in made]  # what is there is not made again
    assert (out / "maskwise.onnx").exists()


@pytest.mark.usefixtures("here")
def test_the_teacher_says_the_same_of_a_face_with_a_mask_and_without(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    manifest = script.make_manifest(data, out)
    first_weights(data, data, out / "faces.safetensors")
    teacher.make_teacher(manifest, out / "faces.safetensors", out / "teacher.csv")
    table = read_probabilities(out / "teacher.csv")
    frame = read_manifest(manifest).filter(pl.col("fold") == "train")
    drawn = frame.filter(pl.col("source") != "mask_photos")
    assert sorted(table.ids) == sorted(drawn["photo"])  # of nobody that tests or validates
    told = dict(zip(table.ids, table.probabilities.joint.reshape(-1, 3, 2, 3), strict=True))
    for _, face in drawn.group_by(pl.col("photo").str.replace("[a-z_]+[0-9]*.jpg$", "")):
        photos = dict(face.select("mask", "photo").iter_rows())
        first = told[photos.pop("not_wear")]
        [(mask, masked)] = photos.items()
        second = told[masked]
        assert first[2].sum() == pytest.approx(1)
        assert second[TASKS["mask"].index(mask)].sum() == pytest.approx(1)
        np.testing.assert_allclose(first.sum(axis=0), second.sum(axis=0), atol=1e-5)


def test_who_is_taught_is_not_among_whom_the_heads_learn_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Heads that know their own faces by heart must be wrong about all the others."""
    folds = [0, 0, 1, 1, 2, 2]
    frame = manifest_from_rows(
        {"photo": f"{row}.jpg", "person": f"p{row}", "gender": TASKS["gender"][row % 2],
         "age_group": TASKS["age_group"][row % 3], "mask": "not_wear", "source": "made",
         "fold": str(fold)}
        for row, fold in enumerate(folds)
    )  # fmt: skip
    learnt: list[list[float]] = []

    def train(features: NDArray[np.float32], labels: Labels, seed: int) -> int:
        assert len(labels.ages) == 4
        learnt.append(features[0, :, 0].tolist())
        return seed

    def answer(heads: list[int], features: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        assert heads == [0, 1, 2]
        seen = features[0, :, 0]
        assert not set(seen) & set(learnt[-1])
        return {"gender": np.stack([seen, seen], 1), "age_group": np.stack([seen] * 3, 1)}

    monkeypatch.setattr(teacher, "train_heads", train)
    monkeypatch.setattr(teacher, "answers", answer)
    features = np.tile(np.arange(6, dtype=np.float32)[None, :, None], (2, 1, 4))
    told = teacher.out_of_fold(frame, features)
    assert told["gender"][:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert len(learnt) == 9


def test_two_trainings_make_three_models_and_their_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(script, "maskwise", lambda *words: ran.append([*map(str, words)]))
    for name in ("make_face_weights", "make_teacher"):
        monkeypatch.setattr(script, name, lambda *_: None)
    monkeypatch.setattr(script, "figures", lambda *_: {})
    (tmp_path / "all.csv").write_text("photo,source,mask\na.jpg,mask_photos,incorrect\n"
                                      "b.jpg,utkface,not_wear\nc.jpg,utkface,wear\n")  # fmt: skip
    script.main(["data", "graph.json", "--out", str(tmp_path), "train.amp=no"])
    assert [words[0] for words in ran] == [
        "train", "train", "average", "average", "decide", "export", "evaluate"
    ]  # fmt: skip
    first, second, *averages = ran[:4]
    for words in (first, second):
        assert f"model.pretrained={tmp_path / 'faces.safetensors'}" in words
        assert f"distill.teacher={tmp_path / 'teacher.csv'}" in words
        assert {"train.keep_epochs=[4]", "train.amp=no"} <= set(words)
    assert "optim.backbone_lr_factor=0.15" in second
    assert not [word for word in first if word.startswith("optim.")]
    assert [words[1:3] for words in averages] == [
        [str(tmp_path / name) for name in ("first/epoch-4", "second/epoch-4")],
        [str(tmp_path / name) for name in ("first/last", "halves")],
    ]
    assert pl.read_csv(first[1])["source"].to_list() == [
        "mask_photos_incorrect", "utkface", "utkface"
    ]  # fmt: skip
    assert ran[4][1] == str(tmp_path / "mean")
    assert "--mirror" not in ran[5]
