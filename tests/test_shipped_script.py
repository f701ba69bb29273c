"""The script that makes the model that comes along, run small."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import timm
import torch
from benchmarks.shipped import __main__ as script
from benchmarks.shipped import data as photos
from benchmarks.shipped import teacher
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
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
    """Drawn people in the folders that the script expects."""
    data = tmp_path / "photos"
    for number in range(16):
        age, gender = 22 + 3 * number, ("male", "female")[number % 2]
        name = f"{age}_{number % 2}_2_20170112{number:09d}.jpg.chip.jpg"
        saved(person(number), data / "utkface" / name)
        saved(person(200 + number), data / "all_age_faces" / f"{number}_{gender}_Asian_{age}.jpg")
        decade = age // 10 * 10
        name = f"{number}_{gender}_White_{decade}-{decade + 9}.jpg"
        saved(person(300 + number), data / "fairface" / name)
        state = list(MaskState)[number % 3]
        for photo in range(2):
            walker = person(400 + number, MaskState.WEAR, x=photo * 4.0)
            saved(walker, data / "walking_masks" / f"{number:05d}_{photo}.jpg")
        worn = ("wear", "not_wear")[number % 4 // 2]
        masked = person(500 + number, MaskState(worn))
        saved(masked, data / "gender_masks" / f"{gender}_{worn}" / f"{number}.jpg")
        saved(person(600 + number, MaskState.INCORRECT), data / "worn_wrong" / f"k{number}.jpg")
    genders = "".join(f"{number:05d},{('male', 'unclear')[number % 2]},\n" for number in range(15))
    (data / "walking_masks_gender.csv").write_text(
        f"person,gender,note\n{genders}00015,male,incorrect;crowd\n"
    )
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

    for module in (script, photos, teacher):
        monkeypatch.setattr(module, "maskwise", invoked)
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
    assert "| all bare faces |" in capsys.readouterr().out
    train, test = (
        pl.read_csv(out / f"{name}.csv", infer_schema=False) for name in ("train", "test")
    )
    assert set(train["fold"]) == {"train", "val"}
    assert set(test["fold"]) == {"test"}
    assert not set(train["person"]) & set(test["person"])
    check_masks(train, test)
    check_mean(out)
    file = OnnxClassifier.load(out / "maskwise.onnx")
    assert (file.info.precision, file.info.weight_bits) == ("int8", 7)
    assert file.info.preprocess.frame_size == (64, 64)
    assert set(file.info.trained_on or ()) == set(train["source"])
    assert "all bare faces" in json.loads((out / "figures.json").read_text())
    made = [out / name for name in ("train.csv", "faces.safetensors", "third/last/model.json")]
    times = [path.stat().st_mtime_ns for path in made]
    finished: list[Path] = []
    with monkeypatch.context() as here:  # the file itself takes long
        here.setattr(script, "finish", lambda network, *_: finished.append(network))
        script.main(words)
    assert finished == [out / "mean"]
    assert times == [path.stat().st_mtime_ns for path in made]  # what is there is not made again
    # without a source: its people are scored by a model that never saw one of them
    script.main([*words, "--without", "mask_photos"])
    alone = OnnxClassifier.load(out / "without-mask_photos" / "maskwise.onnx")
    assert set(train["source"]) - set(alone.info.trained_on or ()) == {
        "mask_photos", "mask_photos_incorrect"
    }  # fmt: skip


def check_mean(out: Path) -> None:
    """Features are the mean of two trainings' weights; the model is theirs and the third's."""
    for before, after, mean in (("first/last", "second/last", "features"),
                                ("features", "third/last", "mean")):  # fmt: skip
        first, second, both = (
            load_file(out / folder / "model.safetensors") for folder in (before, after, mean)
        )
        name = next(name for name in sorted(both) if name.startswith("heads"))
        expected = first[name] + script.SHARES[mean] * (second[name] - first[name])
        torch.testing.assert_close(both[name], expected)
        assert first.keys() == both.keys()


def check_masks(train: pl.DataFrame, test: pl.DataFrame) -> None:
    """Rendered masks are of bare sources; a face with one has its bare photo from the same step."""
    bare = train.filter(pl.col("source") == "all_age_faces")
    for _, face in bare.group_by("person"):
        assert len(face) == 2
        assert set(face["mask"]) in ({"wear", "not_wear"}, {"incorrect", "not_wear"})
        assert face["photo"].str.contains("all_age_faces-(wear|incorrect)/").all()
    originals = test.filter(pl.col("source") == "all_age_faces", pl.col("mask") == "not_wear")
    assert not originals["photo"].str.contains("all_age_faces-").any()
    walkers = pl.concat([train, test]).filter(pl.col("source") == "walking_masks")
    assert walkers["person"].n_unique() == 16
    assert walkers.filter(pl.col("person").str.ends_with("00015"))["mask"].null_count() == 2
    assert set(walkers["gender"].drop_nulls()) == {"male"}
    assert walkers["gender"].null_count() == 14


@pytest.mark.usefixtures("here")
def test_the_teacher_says_the_same_of_a_face_with_a_mask_and_without(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    manifest, _ = photos.make_manifests(data, out)
    first_weights(data, data, out / "faces.safetensors")
    teacher.make_teacher(manifest, out / "faces.safetensors", out / "teacher.csv")
    table = read_probabilities(out / "teacher.csv")
    frame = read_manifest(manifest).filter(pl.col("fold") == "train")
    known = pl.col("gender").is_not_null() & pl.col("age_group").is_not_null()
    rendered = frame.filter(known & pl.col("photo").str.contains("-(wear|incorrect)/"))
    assert set(table.ids) == set(frame.filter(known)["photo"])  # of nobody who tests or validates
    told = dict(zip(table.ids, table.probabilities.joint.reshape(-1, 3, 2, 3), strict=True))
    for _, face in rendered.group_by(pl.col("photo").str.replace("[a-z_]+[0-9]*.jpg$", "")):
        faces = dict(face.select("mask", "photo").iter_rows())
        first = told[faces.pop("not_wear")]
        [(mask, masked)] = faces.items()
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


def test_a_file_of_the_model_is_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    read: list[tuple[Path, ...]] = []
    manifests = (tmp_path / "train.csv", tmp_path / "test.csv")
    monkeypatch.setattr(script, "maskwise", lambda *words: ran.append([*map(str, words)]))
    monkeypatch.setattr(script, "make_manifests", lambda *_: manifests)
    monkeypatch.setattr(script, "make_file_weights", lambda *given: read.append(given))
    monkeypatch.setattr(script, "figures", lambda *_: {})
    monkeypatch.setattr(script, "mean_of", lambda *folders: folders[2])
    script.main(["data", "begin.onnx", "--out", str(tmp_path)])
    assert read == [(manifests[0], tmp_path / "packaged", Path("begin.onnx"))]
    assert [words[0] for words in ran] == ["train", "decide", "export", "evaluate"]
    assert f"model.pretrained={tmp_path / 'packaged'}" in ran[0]
    assert "model.pretrained_heads=true" in ran[0]
    assert "train.sample_by=source_gender_age_group" in ran[0]
    assert not any("epoch_photos" in word for word in ran[0])  # as many as the recipe says


def test_three_trainings_make_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(script, "maskwise", lambda *words: ran.append([*map(str, words)]))
    manifests = (tmp_path / "train.csv", tmp_path / "test.csv")
    monkeypatch.setattr(script, "make_manifests", lambda *_: manifests)
    monkeypatch.setattr(script, "make_face_weights", lambda *_: None)
    monkeypatch.setattr(script, "figures", lambda *_: {})
    monkeypatch.setattr(script, "mean_of", lambda *folders: folders[2])
    rows = "photo,source\na.jpg,fairface\nb.jpg,utkface\n"
    manifests[0].write_text(rows)
    words = ["data", "graph.json", "--out", str(tmp_path), "train.amp=no"]
    script.main([*words, "--without", "fairface"])
    steps = ["train", "train", "train", "decide", "export", "evaluate"]
    assert [words[0] for words in ran] == steps
    first, second, third = ran[:3]
    out = tmp_path / "without-fairface"
    assert f"model.pretrained={tmp_path / 'faces.safetensors'}" in first
    assert {f"model.pretrained={out / 'first' / 'last'}", "model.pretrained_heads=true"} <= set(
        second
    )
    assert f"model.pretrained={out / 'features'}" in third
    for words in (first, second, third):
        assert words[1] == str(tmp_path / "train.csv")
        assert {"train.leave_out_sources=[fairface]", "train.amp=no"} <= set(words)
    # what follows training does not see the source either
    others = str(out / "others.csv")
    assert pl.read_csv(others)["source"].to_list() == ["utkface"]
    assert ran[3][1:4] == [str(out / "mean"), "--on", others]
    assert ran[4][3:5] == ["--on", others]
    assert ran[5][1:3] == [str(out / "maskwise.onnx"), str(tmp_path / "test.csv")]
