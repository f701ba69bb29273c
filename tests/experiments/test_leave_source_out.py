"""Cross-validation by source: each source predicted by a model that never saw it."""

import json
from pathlib import Path

import polars as pl
import pytest

from commands import invoke, refused
from conftest import read_rows, write_set
from maskwise.config import CacheSettings, Settings
from maskwise.evaluation.sources import TASK_NAMES
from maskwise.experiments.leave_source_out import _run_folders, run_settings
from maskwise.training.averaging import average_models


def write_sources(folder: Path, names: tuple[str, ...] = ("one", "two"), val: int = 36) -> Path:
    """Write a manifest whose sources all have every class."""
    manifest = write_set(folder, train=18 * len(names), val=val)
    rows = read_rows(manifest).with_row_index()
    source = (pl.col("index") // 18 % len(names)).replace_strict(dict(enumerate(names)))
    rows.with_columns(source=source).drop("index").write_csv(manifest)
    return manifest


def test_each_source_is_predicted_with_and_without_it(tmp_path: Path, tiny: list[str]) -> None:
    manifest, out = write_sources(tmp_path / "data"), tmp_path / "sources"
    words = ["train", manifest, *tiny, "train.epochs=2", "train.repeat_sources={one: 2}",
             "--leave-source-out", "--out", out]  # fmt: skip
    summary = invoke(*words)
    assert (summary["fold"], summary["photos"]) == ("val", 36)
    assert [(gap["source"], gap["task"]) for gap in summary["gaps"]] == [
        (source, task) for source in ("one", "two") for task in TASK_NAMES
    ]
    runs = {"all": ["one", "two"], "without-one": ["two"], "without-two": ["one"]}
    for name, sources in runs.items():
        assert (
            json.loads((out / name / "last" / "model.json").read_text())["data"]["sources"]
            == sources
        )
    # the figures are those of evaluate, on the same photos
    for name, kind in (("without-one", "never_trained_on"), ("all", "trained_with")):
        found = invoke("evaluate", out / name / "last", out / "manifest.csv", "--out",
                       tmp_path / "evaluated", "--set", tiny[-1])["by_source"]  # fmt: skip
        assert found["sources"]["one"]["trained_on"] is (name == "all")
        page = (tmp_path / "evaluated" / "report.html").read_text()
        trained = "yes" if name == "all" else "no"
        assert f"<td>one</td><td>18 classes</td><td>{trained}</td>" in page
        for gap in summary["gaps"][: len(TASK_NAMES)]:
            assert gap[kind] == found["sources"]["one"][gap["task"]]
            assert gap[kind]["photos"] == 18
        # a model that saw both sources has no gap
        assert set(found["gaps"]) == (set() if name == "all" else set(TASK_NAMES))
        assert page.count("points on sources that the model was trained on") == len(found["gaps"])
    for gap in summary["gaps"]:
        with_it, without = gap["trained_with"], gap["never_trained_on"]
        assert gap["gap"] == with_it["balanced_accuracy"] - without["balanced_accuracy"]
    assert "add --resume" in refused(*words)
    assert invoke(*words, "--resume") == summary
    other = refused(*words, "--resume", "--source", "two")
    assert "begun with another sources" in other


def test_people_of_the_fold_test_are_scored_where_there_are_some(
    tmp_path: Path, tiny: list[str]
) -> None:
    manifest = write_sources(tmp_path / "data", val=54)
    rows = read_rows(manifest).with_row_index()
    fold = pl.when(pl.col("index") >= 72).then(pl.lit("test")).otherwise("fold")
    rows.with_columns(fold=fold).drop("index").write_csv(manifest)
    summary = invoke("train", manifest, *tiny, "train.epochs=1", "--leave-source-out", "--source",
                     "one", "--out", tmp_path / "out")  # fmt: skip
    assert (summary["fold"], summary["photos"]) == ("test", 18)
    assert {gap["source"] for gap in summary["gaps"]} == {"one"}
    assert not (tmp_path / "out" / "without-two").exists()


def test_a_manifest_without_folds_is_split(tmp_path: Path, tiny: list[str]) -> None:
    manifest = write_sources(tmp_path / "data")
    read_rows(manifest).with_columns(fold=pl.lit("")).write_csv(manifest)
    invoke("train", manifest, *tiny, "train.epochs=1", "--leave-source-out", "--source", "one",
           "--out", tmp_path / "out")  # fmt: skip
    assert set(read_rows(tmp_path / "out" / "manifest.csv")["fold"]) == {"train", "val"}


@pytest.mark.parametrize("words", [(), ("--source", "made")])
def test_fewer_than_two_sources_are_refused(
    words: tuple[str, ...], tmp_path: Path, tiny: list[str]
) -> None:
    manifest = write_set(tmp_path / "data")
    command = ["train", manifest, *tiny, "--leave-source-out", "--out", tmp_path / "out", *words]
    message = refused(*command)
    assert "nothing is left" in message if words else "takes two or more" in message
    assert not (tmp_path / "out").exists()


def test_all_wrong_sources_are_named_at_once(tmp_path: Path, tiny: list[str]) -> None:
    manifest = write_sources(tmp_path / "data")
    message = refused("train", manifest, *tiny, "--leave-source-out", "--out", tmp_path / "out",
                      "--source", "on", "--source", "street")  # fmt: skip
    assert "the manifest has the sources one, two" in message
    assert "no photo is of the source 'on'; did you mean one?" in message
    assert "no photo is of the source 'street'" in message
    single = refused("train", manifest, *tiny, "train.leave_out_sources=[onee,two]", "--out",
                     tmp_path / "out")  # fmt: skip
    assert "train.leave_out_sources" in single
    assert "did you mean one?" in single


def test_classes_that_only_one_source_has_are_named(tmp_path: Path, tiny: list[str]) -> None:
    manifest = write_sources(tmp_path / "data", ("one", "two", "three"), val=54)
    rows = read_rows(manifest)
    only = pl.col("source") == "two"
    rows = rows.with_columns(
        mask=pl.when(~only & (pl.col("mask") == "incorrect")).then(None).otherwise("mask"),
        age=pl.when(pl.col("source") == "three").then("age"),
        age_group=pl.when(pl.col("source") == "three").then("age_group"),
    )
    rows.write_csv(manifest)
    words = ["train", manifest, *tiny, "--leave-source-out", "--out", tmp_path / "out"]
    message = refused(*words)
    assert "2 problem(s)" in message
    assert "only two trains mask incorrect" in message
    assert "only three trains age_group young, middle, old" in message
    # what is not left out, or not trained, is no problem
    assert "only two" not in refused(*words, "--source", "one", "model.tasks=[hat]")


def with_folds(manifest: Path, **folds: str) -> None:
    """Put all photos of some sources into one fold."""
    rows = read_rows(manifest)
    fold = pl.col("source").replace_strict(folds, default=pl.col("fold"), return_dtype=pl.String)
    rows.with_columns(fold=fold).write_csv(manifest)


def test_sources_that_cannot_be_compared_are_named_before_any_training(
    tmp_path: Path, tiny: list[str]
) -> None:
    manifest = write_sources(tmp_path / "data", ("one", "two", "three"), val=54)
    words = ["train", manifest, *tiny, "--leave-source-out", "--out", tmp_path / "out"]
    with_folds(manifest, one="test")
    message = refused(*words)
    assert "no photo of one trains, so no model can be trained with it" in message
    assert "no photo of two with a label is in the fold that is scored" in message
    with_folds(manifest, one="train", two="val", three="train")
    message = refused(*words)
    assert "no photo of three with a label is in the fold that is scored" in message
    assert "without two no photo validates" in message
    assert not (tmp_path / "out").exists()


def test_classes_must_be_in_training_photos(tmp_path: Path, tiny: list[str]) -> None:
    manifest = write_sources(tmp_path / "data")
    rows = read_rows(manifest)
    lost = (pl.col("source") == "one") & (pl.col("fold") == "train") & (pl.col("mask") == "wear")
    rows.with_columns(mask=pl.when(~lost).then("mask")).write_csv(manifest)
    message = refused("train", manifest, *tiny, "--leave-source-out", "--out", tmp_path / "out")
    assert "1 problem(s)" in message
    assert "only two trains mask wear" in message


def test_copies_are_no_source_of_their_own(tmp_path: Path, tiny: list[str]) -> None:
    manifest = write_sources(tmp_path / "data")
    rows = read_rows(manifest)
    copied = pl.when(pl.col("source") == "two").then(pl.lit("one (copy)")).otherwise("source")
    rows.with_columns(source=copied).write_csv(manifest)
    message = refused("train", manifest, *tiny, "--leave-source-out", "--out", tmp_path / "out")
    assert "has one source, one" in message


def test_weights_that_have_seen_a_source_are_refused(tmp_path: Path, tiny: list[str]) -> None:
    manifest, run = write_sources(tmp_path / "data"), tmp_path / "run"
    invoke("train", manifest, *tiny, "train.epochs=1", "train.leave_out_sources=one", "--out", run)
    begun = [f"model.pretrained={run}", "--leave-source-out", "--out", tmp_path / "out"]
    words = ["train", manifest, *[word for word in tiny if "pretrained" not in word], *begun]
    message = refused(*words)
    assert "1 problem(s)" in message
    assert "the pretrained weights, or the teacher, were trained on two" in message
    # a model knows what its weights have seen, and evaluate says so
    more = tmp_path / "more"
    invoke("train", manifest, *words[2:-3], "train.epochs=1", "train.leave_out_sources=[two]",
           "--out", more)  # fmt: skip
    found = invoke("evaluate", more, manifest, "--set", tiny[-1])["by_source"]
    assert [own["trained_on"] for own in found["sources"].values()] == [True, True]
    data = json.loads((more / "best" / "model.json").read_text())["data"]
    assert (data["sources"], data["seen_sources"]) == (["one"], ["one", "two"])
    mean = tmp_path / "mean"
    cache = CacheSettings(folder=tmp_path / "cache", workers=0)
    average_models([run, more], manifest, mean, "uniform", cache, "cpu")
    data = json.loads((mean / "model.json").read_text())["data"]
    assert data["sources"] == data["seen_sources"] == ["one", "two"]


def test_folders_of_other_experiments_are_refused(tmp_path: Path, tiny: list[str]) -> None:
    manifest, out = write_sources(tmp_path / "data"), tmp_path / "out"
    invoke("train", manifest, *tiny, "train.epochs=1", "--folds", 2, "--out", out)
    message = refused("train", manifest, *tiny, "--leave-source-out", "--resume", "--out", out)
    assert "holds a cross-validation; name another folder" in message


def test_folders_of_sources_differ() -> None:
    folders = _run_folders(Path("out"), ["a b", "a_b", "c/d"])
    assert [path.name for path in folders.values()] == [
        "all", "without-a_b", "without-a_b-1", "without-c_d"
    ]  # fmt: skip


def test_settings_of_a_run_leave_the_source_out(tmp_path: Path, tiny: list[str]) -> None:
    given = {"patience": 3, "repeat_sources": {"one": 2, "two": 3}, "leave_out_sources": ["three"]}
    settings = Settings.model_validate({"train": given})
    train = run_settings(settings, "one").train
    assert train.leave_out_sources == ("three", "one")
    assert train.patience == 0
    assert run_settings(settings, "").train.leave_out_sources == ("three",)


def test_copies_of_photos_are_left_out_with_them(tmp_path: Path, tiny: list[str]) -> None:
    manifest = write_sources(tmp_path / "data")
    rows = read_rows(manifest).with_row_index()
    copied = pl.when(pl.col("index") < 3).then(pl.lit("one (copy)")).otherwise("source")
    rows.with_columns(source=copied).drop("index").write_csv(manifest)
    invoke("train", manifest, *tiny, "train.epochs=1", "train.leave_out_sources=[one]", "--out",
           tmp_path / "run")  # fmt: skip
    data = json.loads((tmp_path / "run" / "last" / "model.json").read_text())["data"]
    assert (data["sources"], data["train_photos"], data["val_photos"]) == (["two"], 18, 18)


def test_options_that_exclude_each_other(tmp_path: Path, tiny: list[str]) -> None:
    manifest = write_sources(tmp_path / "data")
    out = ["--out", tmp_path / "out"]
    assert "stands alone" in refused("train", manifest, "--leave-source-out", "--folds", 2, *out)
    assert "add that" in refused("train", manifest, "--source", "one", *out)
    plateau = refused("train", manifest, "--leave-source-out", "schedule.name=plateau", *out)
    assert "plateau would follow" in plateau
