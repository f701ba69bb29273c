"""The benchmarks behind figures of the docs, made small."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import timm
import torch
from benchmarks import drawn_masks, face_pixels, int8_agreement
from benchmarks.shipped import figures as shipped
from rich.console import Console

from conftest import TINY
from maskwise.data.manifest import read_manifest
from maskwise.models.loading import SHIPPED
from maskwise.settings import load_settings
from maskwise.training.display import TrainingDisplay
from maskwise.training.run import train

QUICK = [*TINY, "train.epochs=2"]


@pytest.fixture
def real(make_set: Callable[..., Path], tmp_path: Path) -> Path:
    """Return a manifest of photos of two a person whose mask states only are known."""
    manifest = make_set(tmp_path / "real", train=40, val=8)
    frame = pl.read_csv(manifest, infer_schema=False)
    blank = {name: pl.lit("") for name in ("gender", "age", "age_group", "fold")}
    person = pl.Series([f"p{row // 2}" for row in range(len(frame))])
    frame.with_columns(**blank, person=person).write_csv(manifest)
    return manifest


def test_each_photo_is_answered_once_by_a_model_that_never_saw_its_person(
    real: Path, make_set: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "drawn", tmp_path / "out"
    with TrainingDisplay(Console()) as display:
        train(make_set(tmp_path / "set"), run, load_settings(None, QUICK), display)
    words = [str(run), str(real), "--out", str(out), "--folds", "3", *QUICK]
    drawn_masks.main(words)
    table = capsys.readouterr().out
    for name in ("drawn", "real", "drawn, then real", "gain"):
        assert any(line.strip("│ ").startswith(name) for line in table.splitlines()), table
    tested: list[str] = []
    for arm in ("real", "drawn-then-real"):
        for fold in range(3):
            people = {name: set(part["person"]) for (name,), part in
                      read_manifest(out / arm / f"fold{fold}.csv").group_by("fold")}  # fmt: skip
            assert set(people) == {"train", "val", "test"}
            assert sum(map(len, people.values())) == len(set.union(*people.values()))
            tested += people["test"]
    assert sorted(tested) == sorted(2 * [f"p{number}" for number in range(24)])
    times = [path.stat().st_mtime_ns for path in sorted(out.rglob("model.safetensors"))]
    drawn_masks.main(words)  # nothing is trained twice
    assert capsys.readouterr().out.splitlines()[-8:] == table.splitlines()[-8:]
    assert times == [path.stat().st_mtime_ns for path in sorted(out.rglob("model.safetensors"))]


def test_scores_and_gain_are_those_of_a_worked_case() -> None:
    truth = np.repeat([0, 1, 2], 4)
    worse = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 1])
    arms = {"drawn": np.zeros(12, np.int64), "real": worse, "drawn, then real": truth}
    assert drawn_masks.score(truth, worse) == pytest.approx((1 + 0.5 + 0.75) / 3)
    inside = drawn_masks.intervals(truth, arms, np.arange(12))
    assert inside["drawn, then real"] == "1.000 to 1.000"
    low, high = map(float, inside["gain"].split(" to "))
    assert 0 <= low < 0.25 < high < 0.6


def test_figures_of_the_shipped_model_are_those_of_a_worked_case(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two real photos, two bare faces and one with a rendered mask; two predictions are wrong."""
    rows = [
        # photo, mask, gender, age group, source, class answered
        ("a.jpg", "wear", None, None, "mask_photos", 3),
        ("b.jpg", "incorrect", None, None, "mask_photos", 0),  # the mask is wrong
        ("c.jpg", "not_wear", "female", "old", "utkface", 12 + 3 + 2),
        ("7_male_Black_20-29.jpg", "not_wear", "male", "young", "fairface", 12 + 3 + 0),  # gender
        ("e.jpg", "wear", "male", "middle", "utkface", 1),
    ]
    names = ["photo", "mask", "gender", "age_group", "source"]
    pl.DataFrame([row[:5] for row in rows], names, orient="row").write_csv(tmp_path / "m.csv")
    answers = pl.DataFrame([(str(tmp_path / row[0]), row[5]) for row in rows], ["photo", "ans"],
                           orient="row")  # fmt: skip
    answers.write_csv(tmp_path / "answers.csv")
    found = shipped.figures(tmp_path / "m.csv", tmp_path / "answers.csv")
    real = found["mask_photos and worn_wrong"]
    assert real["mask"]["recalls"] == {"wear": 1.0, "incorrect": 0.0}
    assert "gender" not in real
    assert found["all bare faces"]["gender"]["accuracy"] == 0.5
    assert found["all bare faces"]["age_group"]["balanced_accuracy"] == 1
    assert found["utkface, bare"]["gender"]["accuracy"] == 1
    assert found["fairface, Black"] == found["fairface, bare"]
    assert "walking_masks" not in found
    assert found["bare women"]["photos"] == found["bare men"]["photos"] == 1
    assert found["bare men"]["gender"]["accuracy"] == 0
    assert found["rendered masks, utkface"]["age_group"] == {
        "photos": 1, "accuracy": 1.0, "balanced_accuracy": 1.0, "recalls": {"middle": 1.0}
    }  # fmt: skip
    shipped.print_figures(found)
    table = capsys.readouterr().out
    assert (
        "| mask_photos and worn_wrong | 2 | mask | 0.500 | 0.500 | wear 1.000, incorrect 0.000 |"
        in table
    )


def test_the_bundled_file_predicts_as_exact_arithmetic(
    make_set: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    manifest = make_set(tmp_path / "set", train=6, val=2)
    int8_agreement.main([str(SHIPPED), str(manifest), "--photos", "5"])
    told = capsys.readouterr().out
    assert "5 photos; weights of 7 bits" in told
    assert told.count(": 1.0000 as exact arithmetic") == 3


def test_features_of_faces_are_scored_on_other_people(
    make_set: Callable[..., Path], tmp_path: Path
) -> None:
    """What a network that knows nothing gives is next to chance, so people are kept apart."""
    manifest = make_set(tmp_path / "set", train=48, val=12)
    torch.manual_seed(0)
    network = timm.create_model(face_pixels.BACKBONE, num_classes=0)
    frame = face_pixels.sample(manifest, 60)
    assert len(frame) == 60
    gender, age = face_pixels.measure(frame, network, margin=0.1, width=48, height=64)
    assert 0 <= gender <= 1
    assert 0 <= age <= 1
    values = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    people = np.repeat(np.arange(20), 3)
    codes = np.repeat(np.arange(20) % 2, 3)
    identity = np.repeat(np.eye(20, dtype=np.float32), 3, axis=0)
    alone = face_pixels.predicted(np.hstack([values, identity]), codes, people)
    assert (alone == codes).mean() < 0.8  # a known person would always be right
    helped = np.hstack([values, codes[:, None]]).astype(np.float32)
    assert (face_pixels.predicted(helped, codes, people) == codes).mean() > 0.9
