"""Cross-validation: every person answered once, by a model that never saw them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from commands import invoke, kill_when, refused
from conftest import read_rows, write_set
from maskwise.cli import app
from maskwise.config import Settings
from maskwise.evaluation.tables import CLASS_COLUMNS
from maskwise.experiments import folds as folding
from maskwise.experiments.folds import fold_settings, refit_settings
from maskwise.models.ensemble import load_classifier
from maskwise.training import run as running


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_set(tmp_path / "data", train=36, val=9)


def test_every_person_is_answered_once_by_a_model_that_never_saw_them(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    out = tmp_path / "cv"
    words = ["train", manifest, *tiny, "train.epochs=2", "--out", out, "--folds", 3, "--refit"]
    summary = invoke(*words)
    rows = read_rows(out / "manifest.csv")
    assert sorted(rows["fold"].unique()) == ["0", "1", "2", "test"]
    assert summary["held_out"] == (rows["fold"] == "test").sum() == 9
    people = rows.group_by("person").agg(pl.col("fold").n_unique())
    assert people["fold"].max() == 1
    oof = pl.read_csv(out / "oof.csv", infer_schema_length=None)
    assert len(oof) == 36 == oof["photo"].n_unique()
    np.testing.assert_allclose(oof.select(CLASS_COLUMNS).sum_horizontal().to_numpy(), 1, atol=1e-4)
    # a fold's answers are those of the run that left it out
    own = invoke("evaluate", out / "fold-1" / "last", out / "manifest.csv", "--out", tmp_path / "e",
                 "--set", tiny[-1])  # fmt: skip
    assert own["fold"] == "fold 1"
    assert own["classes"]["macro_f1"] == pytest.approx(summary["scores"]["fold 1"])
    answers = pl.read_csv(tmp_path / "e" / "answers.csv").select("photo", "p3")
    both = answers.join(oof.select("photo", "p3"), on="photo", suffix="_oof")
    assert len(both) == own["photos"]
    np.testing.assert_allclose(both["p3"], both["p3_oof"], atol=1e-5)
    scores = list(summary["scores"].values())
    assert summary["mean"] == pytest.approx(np.mean(scores))
    assert summary["deviation"] == pytest.approx(np.std(scores, ddof=1))
    # the folds' models are one ensemble, scored on people that none of them saw
    held = invoke("evaluate", out, out / "manifest.csv", "--set", tiny[-1])
    assert (held["fold"], held["photos"], held["networks"]) == ("fold test", 9, 3)
    # everybody but those kept out trains the last one
    everybody = json.loads((out / "refit" / "best" / "model.json").read_text())["data"]
    assert (everybody["train_photos"], everybody["val_photos"]) == (36, 0)
    assert summary["epochs"] == round(np.mean(summary["best_epochs"]))
    again = invoke(*words, "--resume")
    assert again == summary


def test_a_cross_validation_that_was_stopped_goes_on(
    manifest: Path, tmp_path: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    def stopped(manifest: Path, folder: Path, *rest: Any, **named: Any) -> running.RunSummary:
        begun.append(folder.name)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return running.train(manifest, folder, *rest, **named)

    monkeypatch.setattr(folding, "train", stopped)
    words = ["train", manifest, *tiny, "train.epochs=1", "--out", tmp_path / "cv", "--folds", 2]
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exit_code != 0
    first = (tmp_path / "cv" / "fold-0" / "best" / "model.safetensors").stat().st_mtime_ns
    assert "add --resume" in refused(*words)
    invoke(*words, "--resume")
    assert begun == ["fold-0", "fold-1", "fold-0", "fold-1"]
    after = (tmp_path / "cv" / "fold-0" / "best" / "model.safetensors").stat().st_mtime_ns
    assert after == first
    origin = tmp_path / "cv" / "origin.json"
    kept = origin.read_text()
    origin.write_text(kept[:20])
    assert "origin.json is damaged" in refused(*words, "--resume")
    origin.write_text(kept)
    other = [*words[:-1], 3, "--resume"]
    assert "begun with another folds" in refused(*other)
    assert "begun with other settings" in refused(*words, "optim.lr=0.5", "--resume")


def test_a_killed_cross_validation_ends_as_one_that_was_not(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    # a checkpoint in mid-epoch, so that it goes on from there
    words = ["train", manifest, *tiny, "train.epochs=12", "train.checkpoint_steps=1",
             "track.pictures=0", "track.mistakes=0", "--folds", 2, "--out"]  # fmt: skip
    whole = invoke(*words, tmp_path / "whole")
    figures = tmp_path / "killed" / "fold-1" / "metrics.jsonl"
    kill_when(
        lambda: figures.is_file() and len(figures.read_text().splitlines()) > 2,
        *words,
        tmp_path / "killed",
    )
    assert 2 < len(figures.read_text().splitlines()) < 12
    assert not (tmp_path / "killed" / "oof.csv").exists()
    summary = invoke(*words, tmp_path / "killed", "--resume")
    epochs = [json.loads(line)["epoch"] for line in figures.read_text().splitlines()]
    assert epochs == list(range(1, 13))
    assert summary == whole | {"folder": str(tmp_path / "killed")}
    oof = [(tmp_path / name / "oof.csv").read_text() for name in ("whole", "killed")]
    assert oof[0] == oof[1]


def test_no_fold_chooses_how_its_model_is_trained(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    words = ["train", manifest, *tiny, "--folds", 2, "--out", tmp_path / "cv"]
    message = refused(*words, "schedule.name=plateau", "train.max_photos=9", "--refit")
    assert "plateau would follow the scores" in message
    assert "--refit is on everybody" in message
    assert not (tmp_path / "cv").exists()
    settings = Settings.model_validate(
        {"train": {"epochs": 9, "patience": 2, "swa": 4}, "optim": {"freeze_epochs": 3}}
    )
    assert fold_settings(settings, "1").train.patience == 0
    for epochs, swa, frozen in ((5, 4, 3), (3, 3, 2), (1, 0, 0)):
        refit = refit_settings(settings, epochs)
        assert (refit.train.epochs, refit.train.patience) == (epochs, 0)
        assert (refit.train.swa, refit.optim.freeze_epochs) == (swa, frozen)


def test_folds_of_the_manifest_are_kept(manifest: Path, tmp_path: Path, tiny: list[str]) -> None:
    split = tmp_path / "split.csv"
    CliRunner().invoke(app, ["data", "split", str(manifest), "--out", str(split), "--folds", "3",
                             "--reassign"])  # fmt: skip
    words = ["train", split, *tiny, "train.epochs=1", "--folds", 3, "--out", tmp_path / "cv"]
    invoke(*words)
    kept, given = (
        dict(read_rows(path).select("person", "fold").iter_rows())
        for path in (tmp_path / "cv" / "manifest.csv", split)
    )
    assert kept == given
    holed = tmp_path / "holed.csv"
    read_rows(split).with_columns(
        fold=pl.when(pl.int_range(pl.len()) == 3).then(None).otherwise("fold")
    ).write_csv(holed)
    message = refused("train", holed, *tiny, "--folds", 3, "--out", tmp_path / "holed")
    assert "1 row(s) have no fold beside those with folds" in message
    unknown = tmp_path / "unknown.csv"
    read_rows(split).with_columns(gender=None).write_csv(unknown)
    found = invoke("train", unknown, *tiny, "train.epochs=1", "--folds", 3, "--out", tmp_path / "u")
    assert found["mean"] is found["macro_f1"] is found["deviation"] is None
    assert found["scores"] == {"fold 0": None, "fold 1": None, "fold 2": None}
    assert found["tasks"]["mask"] > 0
    assert "not 0 to 4" in refused(*words[:-3], 5, "--out", tmp_path / "five")
    one = invoke("train", split, *tiny, "train.epochs=1", "--fold", 2, "--out", tmp_path / "one")
    assert load_classifier(Path(one["folder"])).val_fold == "2"
    assert "leave away" in refused(*words, "--dry-run")
    assert "comes after --folds" in refused("train", split, "--refit", "--out", tmp_path / "two")
    assert "is not empty" in refused(*words[:-1], tmp_path / "data")


def test_a_run_of_everybody_has_no_scores(manifest: Path, tmp_path: Path, tiny: list[str]) -> None:
    for head in ("multi", "tasks"):
        words = ["train", manifest, *tiny, "train.epochs=2", "train.val_fold=none",
                 f"model.head={head}", "--out", tmp_path / head]  # fmt: skip
        summary = invoke(*words)
        assert summary["best_epoch"] == 2
        info = json.loads((tmp_path / head / "best" / "model.json").read_text())
        assert info["data"]["train_photos"] == 45
        assert "macro_f1" not in info["metrics"]
    assert "no scores that train.patience" in refused(*words, "train.patience=2")
