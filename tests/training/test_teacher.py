"""Learning from a teacher's probabilities, and from pseudo-labels."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from torch.nn import functional as nnf
from typer.testing import CliRunner

from commands import invoke, refused
from conftest import photo_array, read_rows, write_set
from maskwise.cli import app
from maskwise.config import Settings
from maskwise.data.manifest import read_manifest
from maskwise.errors import RunError, SettingsError
from maskwise.labels import TASKS, UNKNOWN
from maskwise.models.outputs import JOINT
from maskwise.models.probabilities import task_sums
from maskwise.settings import load_settings
from maskwise.training.lineage import seen_sources
from maskwise.training.losses.labels import Labels
from maskwise.training.losses.loss import Loss
from maskwise.training.losses.taught import taught_loss
from maskwise.training.teacher import check_teacher

CPU = torch.device("cpu")
RANDOM = np.random.default_rng(0)
TAUGHT = RANDOM.dirichlet(np.full(18, 0.5), 6).astype(np.float32)
TAUGHT[4:] = np.nan
CODES = {task: np.arange(6) % len(words) for task, words in TASKS.items()}
AGES = np.full(6, np.nan, np.float32)


def test_the_loss_is_the_divergence_at_a_temperature() -> None:
    scores = torch.randn(5, 18, generator=torch.Generator().manual_seed(0))
    wanted = torch.from_numpy(RANDOM.dirichlet(np.ones(18), 5).astype(np.float32))
    found = taught_loss(scores, wanted, 3.0)
    q = wanted ** (1 / 3)
    q = q / q.sum(dim=1, keepdim=True)
    expected = 9 * nnf.kl_div(
        torch.log_softmax(scores / 3, dim=1), q, reduction="none"
    ).sum(dim=1)  # fmt: skip
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert float(taught_loss(wanted.log(), wanted, 3.0).abs().max()) < 1e-4


def loss_of(
    outputs: dict[str, torch.Tensor], labels: Labels, batch: Labels | None = None, **distill: float
) -> torch.Tensor:
    head = "single" if JOINT in outputs else "multi"
    settings = Settings.model_validate({"model": {"head": head}, "distill": distill})
    return Loss(settings, CODES, np.arange(6), CPU)(outputs, labels, batch or labels)


@pytest.mark.parametrize("head", ["single", "multi"])
def test_a_teacher_takes_its_share_of_the_photos_that_it_knows(head: str) -> None:
    torch.manual_seed(0)
    sizes = {JOINT: 18} if head == "single" else {t: len(words) for t, words in TASKS.items()}
    outputs = {name: torch.randn(6, size) for name, size in sizes.items()}
    rows = np.arange(6)
    plain = Labels.of(CODES, AGES, rows)
    taught = Labels.of(CODES, AGES, rows, TAUGHT)
    found = loss_of(outputs, taught, weight=0.6, temperature=2.0)
    # entry by entry: four share their loss with the teacher, two have none
    total = 0.0
    for row in range(6):
        one = {name: value[[row]] for name, value in outputs.items()}
        own = float(loss_of(one, Labels.of(CODES, AGES, rows[[row]]), plain))
        if row >= 4:
            total += own
            continue
        joint = TAUGHT[[row]]
        wanted = {JOINT: joint} if head == "single" else task_sums(joint)
        soft = sum(
            float(taught_loss(one[name], torch.from_numpy(wanted[name]), 2.0)[0]) for name in sizes
        )
        total += 0.4 * own + 0.6 * soft / 6
    assert float(found) == pytest.approx(total, rel=1e-4)
    nothing = Labels.of(CODES, AGES, rows, np.full((6, 18), np.nan, np.float32))
    assert float(loss_of(outputs, nothing)) == pytest.approx(float(loss_of(outputs, plain)))


def test_photos_without_labels_are_taught_and_mixed_photos_on_both_halves() -> None:
    unknown = {task: np.full(6, UNKNOWN) for task in TASKS}
    outputs = {JOINT: torch.randn(1, 18, generator=torch.Generator().manual_seed(1))}
    first = Labels.of(unknown, AGES, np.array([0]), TAUGHT)
    other = Labels.of(unknown, AGES, np.array([1]), TAUGHT)
    mixed = first.mixed(other, np.array([0]), np.array([0.3], np.float32))
    alone = [
        float(loss_of(outputs, Labels.of(unknown, AGES, np.array([row]), TAUGHT), weight=1.0))
        for row in (0, 1)
    ]
    found = float(loss_of(outputs, mixed, weight=1.0))
    assert found == pytest.approx(0.3 * alone[0] + 0.7 * alone[1], rel=1e-5)
    twice = first.repeated(2, 1)
    both = {JOINT: outputs[JOINT].repeat(2, 1)}
    assert float(loss_of(both, twice, first, weight=1.0)) == pytest.approx(alone[0], rel=1e-5)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    write_set(tmp_path / "data", train=36, val=18)
    return tmp_path


def test_a_student_learns_what_its_teacher_says(place: Path, tiny: list[str]) -> None:
    """Of labels turned upside down nothing is left where the teacher has the whole loss."""
    manifest = place / "data" / "manifest.csv"
    words = [*tiny[:-1], "optim.lr=1e-2", "train.epochs=12", "augment.enabled=false"]
    invoke("train", manifest, *words, "--out", place / "teacher")
    rows = read_rows(manifest)
    wrong = rows.with_columns(
        gender=pl.when(pl.col("fold") == "val").then("gender").when(pl.col("gender") == "male")
        .then(pl.lit("female")).otherwise(pl.lit("male"))
    )  # fmt: skip
    wrong.write_csv(place / "data" / "wrong.csv")
    student = ["train", place / "data" / "wrong.csv", *words, "--out", place / "student",
               "--teacher", place / "teacher", "distill.weight=1"]  # fmt: skip
    invoke(*student)
    seen = json.loads((place / "teacher" / "best" / "model.json").read_text())["data"]["sources"]
    (place / "teacher").rename(place / "moved")  # it goes on without the teacher
    invoke("train", place / "data" / "wrong.csv", "--out", place / "student", "--resume")
    settings = load_settings(place / "student" / "settings.yaml")
    assert seen_sources([], settings, place / "student") == set(seen)
    assert seen_sources([], settings, place) is None  # an older run kept nothing
    kept = place / "student" / "teacher.json"
    whole = kept.read_text()
    for damaged in ("{", "[]", "{}"):
        kept.write_text(damaged)
        with pytest.raises(RunError, match=r"teacher\.json is damaged"):
            seen_sources([], settings, place / "student")
    kept.write_text(whole)
    with pytest.raises(RunError, match="is no folder"):
        seen_sources([], settings)
    (place / "moved").rename(place / "teacher")
    table = pl.read_csv(place / "student" / "teacher.csv")
    assert len(table) == 36
    scores = [
        invoke("evaluate", place / name, manifest, "--out", place / "e")["tasks"]["gender"]
        for name in ("teacher", "student")
    ]
    assert scores[0]["accuracy"] > 0.9
    assert scores[1]["accuracy"] > 0.8
    # a file of answers teaches the same photos
    part = place / "part.csv"
    table.head(20).write_csv(part)
    shown = CliRunner().invoke(
        app, ["train", str(manifest), *words[:-2], "train.epochs=1", "--out", str(place / "s2"),
              "--teacher", str(part)]
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    assert "teaches 20 of 36 training photos" in shown.output
    assert len(pl.read_csv(place / "s2" / "teacher.csv")) == 20
    part.unlink()  # a run that goes on does so with what it began with
    table.head(30).write_csv(part)
    shown = CliRunner().invoke(
        app, ["train", str(manifest), "--out", str(place / "s2"), "--resume"]
    )
    assert "teaches 20 of 36 training photos" in shown.output
    assert "there is no" in refused(*student[:-5], "--out", place / "s3", "--teacher", "nobody")
    other = ["labels.task_boundaries=[30, 58]", "labels.train_boundaries=[30, 58]"]
    message = refused(*student[:-5], *other, "--out", place / "s3", "--teacher", place / "teacher")
    assert "answers other age groups" in message
    table.head(3).with_columns(ImageID=pl.lit("x") + pl.col("ImageID")).write_csv(part)
    message = refused(*student[:-5], "--out", place / "s3", "--teacher", part)
    assert "names no training photo" in message


def rows_of(manifest: Path, fold: str) -> pl.DataFrame:
    return read_manifest(manifest).filter(pl.col("fold") == fold)


def test_pseudo_labels_train_and_never_validate(place: Path, tiny: list[str]) -> None:
    manifest = place / "data" / "manifest.csv"
    words = [*tiny[:-1], "optim.lr=1e-2", "train.epochs=12"]
    invoke("train", manifest, *words, "--out", place / "run")
    photos = place / "more" / "photos"
    photos.mkdir(parents=True)
    for number in range(30):
        pixels = photo_array(number % 3, number // 3 % 2, number // 6 % 3, 500 + number)
        Image.fromarray(pixels).save(photos / f"{number}.png")
    (photos / "broken.png").write_bytes(b"none")
    pseudo = place / "pseudo.csv"
    made = invoke("pseudo", place / "run", photos, "--out", pseudo,
                  "--min-confidence", 0.4, "--round", 2)  # fmt: skip
    assert (made["answered"], made["unreadable"]) == (31, 1)
    assert 0 < made["photos"] <= 30
    assert sum(made["kept"].values()) == made["photos"]
    rows = read_rows(pseudo)
    assert set(rows["source"]) == {"pseudo-2"}
    assert set(rows["fold"]) == {"pseudo"}
    soft = np.array([[float(p) for p in cell.split()] for cell in rows["soft"]])
    assert soft.shape == (len(rows), 18)
    assert (soft.max(axis=1) >= 0.399).all()
    even = invoke("pseudo", place / "run", photos, "--out", place / "even.csv",
                  "--min-confidence", 0.2, "--per-class")  # fmt: skip
    counts = {count for count in even["kept"].values() if count}
    assert len(counts) == 1
    merged = place / "merged.csv"
    result = CliRunner().invoke(app, ["data", "merge", str(manifest), str(pseudo),
                                      "--out", str(merged)])  # fmt: skip
    assert result.exit_code == 0, result.output
    split = place / "split.csv"
    result = CliRunner().invoke(app, ["data", "split", str(merged), "--out", str(split),
                                      "--reassign"])  # fmt: skip
    assert result.exit_code == 0, result.output + repr(result.exception)
    again = read_rows(split)
    assert again.filter(pl.col("fold") == "pseudo").height == made["photos"]
    words[-1] = "train.epochs=1"
    invoke("train", merged, *words, "--out", place / "second")
    info = json.loads((place / "second" / "best" / "model.json").read_text())["data"]
    assert (info["train_photos"], info["val_photos"]) == (36 + made["photos"], 18)
    scored = invoke("evaluate", place / "second", merged, "--fold", "all", "--out", place / "e")
    assert scored["photos"] == 54
    assert "validate nobody" in refused("train", merged, *words, "--fold", "pseudo",
                                        "--out", place / "third")  # fmt: skip
    words_ = ["pseudo", place / "run", photos, "--out", place / "x.csv", "--min-confidence", 1]
    assert "not so sure (1)" in refused(*words_)
    invoke("train", merged, *words, "--folds", 2, "--out", place / "cv")
    folds = read_rows(place / "cv" / "manifest.csv")
    assert folds.filter(pl.col("fold") == "pseudo").height == made["photos"]
    oof = pl.read_csv(place / "cv" / "oof.csv")
    assert not set(oof["photo"]) & set(rows["photo"])
    assert json.loads((place / "cv" / "folds.json").read_text())["held_out"] == 18
    assert "is there already" in refused(*words_[:4], manifest)
    assert "ends in .csv or .parquet" in refused(*words_[:4], place / "x.txt")
    # one that nearly equals a photo that validates is told of by training too
    validates = rows_of(merged, "val")["photo"][0]
    with Image.open(validates) as image:
        image.convert("RGB").resize((90, 90)).save(photos / "1.png")
    assert "nearly equal photos in folds" in refused(
        "train", merged, *words, "--out", place / "near"
    )
    # a copy of a labelled photo among them is told of
    shutil.copyfile(place / "data" / "photos" / "000.png", photos / "0.png")
    message = refused("data", "split", merged, "--out", split, "--reassign")
    assert "2 pseudo-labelled photo(s) nearly equal a labelled one" in message


def test_wrong_soft_labels_are_told_by_row(place: Path, tiny: list[str]) -> None:
    manifest = place / "data" / "manifest.csv"
    rows = read_rows(manifest)
    soft = ["0.5 0.5", " ".join(["0.1"] * 18), *[None] * (len(rows) - 2)]
    rows.with_columns(soft=pl.Series(soft)).write_csv(manifest)
    message = refused("train", manifest, *tiny, "--out", place / "run")
    assert "row 2: soft: expected 18 probabilities, got 2" in message
    assert "row 3: soft: expected probabilities that sum to 1, got a sum of 1.8" in message


def test_a_run_that_has_its_answers_needs_no_teacher(tmp_path: Path) -> None:
    words = [f"distill.teacher={tmp_path / 'gone'}"]
    for head, folders in (("multi", [""]), ("tasks", list(TASKS))):
        settings = load_settings(None, [*words, f"model.head={head}"])
        run = tmp_path / head
        with pytest.raises(SettingsError, match="there is no"):
            check_teacher(settings, run)
        for folder in folders:
            (run / folder).mkdir(parents=True)
            (run / folder / "teacher.csv").touch()
        check_teacher(settings, run)
