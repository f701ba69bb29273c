"""Recipes: each is listed, valid and can begin; and they are compared on equal terms."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from PIL import Image
from typer.testing import CliRunner

from conftest import write_set
from maskwise.cli import app
from maskwise.errors import ManifestError, SettingsError
from maskwise.experiments import compare as comparing
from maskwise.experiments.compare import Terms, common_settings, compare, timed_settings
from maskwise.recipes import all_recipes, find_recipe
from maskwise.settings import load_settings, setting_values

NAMES = [recipe.name for recipe in all_recipes()]
SMALL = ("model.pretrained=none", "model.pretrained_heads=false", "preprocess.height=64",
         "preprocess.width=64",
         "preprocess.spare=4", "preprocess.detector=none", "cache.workers=0",
         "train.batch_size=4", "train.device=cpu")  # fmt: skip


def invoke(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def test_recipes_are_listed_with_a_line_each() -> None:
    listed = json.loads(invoke("recipes", "--json"))
    names = [entry["name"] for entry in listed]
    assert {f"seed-{number}" for number in range(5)} | {
        "winner",
        "quick",
        "best",
        "finetune",
    } <= set(names)
    assert all(20 < len(entry["about"]) <= 110 for entry in listed)
    assert "EfficientNet" in invoke("recipes")
    for number in range(5):
        assert len(find_recipe(f"seed-{number}").header) >= 4  # with what was repaired


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_can_begin(name: str, tmp_path: Path) -> None:
    manifest = write_set(tmp_path / "data", train=36, val=3)
    cache = f"cache.folder={tmp_path / 'cache'}"
    out = tmp_path / "run"
    words = ["--recipe", name, *SMALL, cache, "--dry-run", "--out", out, "--json"]
    look = json.loads(invoke("train", manifest, *words))
    assert not out.exists()
    assert look["trained_parameters"] > 1e6
    assert look["photos_per_second"] > 0
    assert (look["train_photos"], look["val_photos"]) == (36, 3)
    epochs = load_settings(None, (), find_recipe(name).path).train.epochs
    assert look["steps"] == 9 * epochs
    with Image.open(look["batch"]) as batch, Image.open(look["schedule"]) as schedule:
        assert batch.width == 8 * 160
        assert schedule.width > 500


def test_words_win_over_a_file_and_that_over_a_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("train: {epochs: 7, seed: 3}\nloss: {terms: {ce: 2}}\n")
    base = find_recipe("seed-1").path
    settings = load_settings(file, ["train.seed=5"], base)
    assert (settings.train.epochs, settings.train.seed) == (7, 5)
    assert settings.train.patience == load_settings(None, ["train.epochs=99"], base).train.patience
    assert settings.loss.terms == {"ce": 2}
    assert settings.model.head == "single"
    shown = invoke("settings", "--recipe", "seed-1", "train.epochs=30")
    assert "epochs: 30" in shown
    assert "head: single" in shown


def test_a_file_may_build_on_a_recipe_or_on_a_file_beside_it(tmp_path: Path) -> None:
    mine, more = tmp_path / "mine.yaml", tmp_path / "more.yaml"
    mine.write_text("recipe: seed-1\nloss: {terms: {ce: 2}}\n")
    more.write_text("recipe: mine.yaml\ntrain: {seed: 9}\n")
    settings = load_settings(None, ["train.epochs=3"], more)
    assert (settings.train.seed, settings.train.epochs) == (9, 3)
    assert settings.loss.terms == {"ce": 2}
    assert settings.model.head == "single"
    assert settings == load_settings(more, ["train.epochs=3"])
    for wrong, message in (
        ("recipe: sed-1", "did you mean seed-1"),
        ("recipe: 3", "expected a name or a YAML file, found 3"),
        ("recipe: more.yaml", "more.yaml builds on this file itself"),
        ("recipe: mine.yaml", "mine.yaml builds on this file itself"),
    ):
        mine.write_text(wrong)
        with pytest.raises(SettingsError, match=message):
            load_settings(more)


def test_a_name_that_is_none_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no recipe 'sed-1'; did you mean seed-1"):
        find_recipe("sed-1")
    with pytest.raises(SettingsError, match="there is no file"):
        find_recipe(str(tmp_path / "mine.yaml"))


def test_augmentations_of_no_base_are_off() -> None:
    augment = load_settings(None, ["augment.base=none", "augment.flip=0.5"]).augment
    assert augment.flip == 0.5
    assert not any(
        (augment.rotate, augment.zoom, augment.hue, augment.noise, augment.erase, augment.blur)
    )


def test_a_mean_of_epochs_is_cut_to_the_epochs_of_a_comparison(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("train: {epochs: 10, swa: 8}")
    timed = timed_settings(common_settings(find_recipe(str(mine)), Terms(64, "", 60.0)), 5000)
    assert (timed.train.epochs, timed.train.swa) == (5, 5)


def test_recipes_need_somebody_with_all_labels_to_be_compared_on(tmp_path: Path) -> None:
    manifest = write_set(tmp_path / "data", train=6, val=4, unknown=True)
    with pytest.raises(ManifestError, match="no row of the fold val has mask, gender, age_group"):
        list(compare(["quick"], manifest, tmp_path / "out", Terms(32, "", 10.0)))
    assert not (tmp_path / "out").exists()


def test_terms_are_the_same_for_all() -> None:
    terms = Terms(64, "resnet18", 60.0, overrides=("train.seed=7",))
    settings = common_settings(find_recipe("seed-3"), terms)
    assert (settings.preprocess.height, settings.preprocess.width) == (64, 64)
    assert settings.preprocess.spare == 3  # 16 of 320 pixels
    assert (settings.model.backbone, settings.train.seed) == ("resnet18", 7)
    timed = timed_settings(settings, 10_000).train
    assert (timed.epochs, timed.epoch_photos, timed.patience) == (5, 2000, 0)
    apart = load_settings(None, ["model.head=tasks"])
    assert timed_settings(apart, 30_000).train.epoch_photos == 2000


def own_recipe(path: Path, text: str) -> Path:
    path.write_text(f"# A recipe of our own\n{text}\n")
    return path


def test_recipes_are_compared_and_a_failing_one_is_a_row(tmp_path: Path) -> None:
    manifest = write_set(tmp_path / "data", train=36, val=18)
    good = own_recipe(tmp_path / "good.yaml", "optim: {lr: 1.0e-2}")
    bad = own_recipe(tmp_path / "bad.yaml", "train: {amp: fp16}")
    wrong = own_recipe(tmp_path / "wrong.yaml", "train: {epoch: 3}")
    out = tmp_path / "compared"
    words = ["--on", manifest, "--out", out, "--size", "32", "--budget", "1s", "--backbone",
             "test_efficientnet", "--json"]  # fmt: skip
    for setting in (*SMALL, f"cache.folder={tmp_path / 'cache'}"):
        if not setting.startswith(("preprocess.height", "preprocess.width", "preprocess.spare")):
            words += ["--set", setting]
    rows = json.loads(invoke("compare", good, bad, wrong, *words))["rows"]
    assert [row["recipe"] for row in rows] == ["good", "bad", "wrong"]
    assert "fp16 needs an accelerator" in rows[1]["error"]
    assert "did you mean train.epochs" in rows[2]["error"]
    first = rows[0]
    assert not first["error"]
    assert first["interval"][0] <= first["macro_f1"] <= first["interval"][1]
    assert len(first["history"]) == 5
    assert 0.05 < first["memory_gb"] < 20
    assert first["seconds"] > 0
    # all epochs were trained, over the photos that the time allowed
    seen = json.loads((out / "good" / "look.json").read_text())["photos_seen"]
    assert first["photos_seen"] == seen > 0
    page = (out / "comparison.html").read_text()
    assert "good" in page
    assert "fp16 needs an accelerator" in page
    assert json.loads((out / "good" / "recipe.json").read_text())["optim"]["lr"] == 0.01
    assert "<svg" in page
    # done again, the finished one is read
    before = (out / "good" / "result.json").stat().st_mtime_ns
    assert json.loads(invoke("compare", good, *words))["rows"] == [first]
    assert (out / "good" / "result.json").stat().st_mtime_ns == before
    result = CliRunner().invoke(app, ["compare", str(good), *map(str, words), "--budget", "2s"])
    assert "seconds was 1.0, is 2.0" in str(result.exception)


def test_a_comparison_that_was_stopped_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def stand_in(words: Sequence[object], log: Path) -> dict[str, object]:
        command, folder = words[0], log.parent
        calls.append([*map(str, words)])
        if "--dry-run" in calls[-1]:
            return {"photos_per_second": 10.0, "parameters": 5}
        if command == "train":
            (folder / "run").mkdir(exist_ok=True)
            (folder / "run" / "run.json").write_text("{}")
            if len(calls) == 2:
                raise KeyboardInterrupt
            return {"memory_gb": 3.0}
        if len(calls) == 4:
            raise KeyboardInterrupt
        scores = {"macro_f1": 0.5, "macro_f1_interval": [0.4, 0.6]}
        return {
            "classes": scores,
            "tasks": dict.fromkeys(("mask", "gender", "age_group"), scores),
        }

    monkeypatch.setattr(comparing, "run_command", stand_in)
    manifest = write_set(tmp_path / "data", train=6, val=3)
    terms = Terms(32, "test_efficientnet", 100.0)
    for _ in ("while it trains", "while it is scored"):
        with pytest.raises(KeyboardInterrupt):
            list(compare(["quick"], manifest, tmp_path / "out", terms))
    [row] = compare(["quick"], manifest, tmp_path / "out", terms)
    assert [call[0] for call in calls] == ["train", "train", "train", "evaluate", "evaluate"]
    assert "--resume" in calls[2]
    last = tmp_path / "out" / "quick" / "run" / "last"  # no epoch is chosen on whom it is scored
    assert calls[3][1] == calls[4][1] == str(last)
    assert (row.macro_f1, row.photos_seen, row.memory_gb) == (0.5, 1000, 3.0)
    assert asdict(row)["interval"] == (0.4, 0.6)
    assert row.seconds is not None
    spent = tmp_path / "out" / "quick" / "seconds.json"
    assert row.seconds == pytest.approx(json.loads(spent.read_text())["seconds"], abs=0.1)
    spent.write_text('{"seconds": 100.0}')  # of what was stopped
    for name in ("result.json", "trained.json"):
        (spent.parent / name).unlink()
    [row] = compare(["quick"], manifest, tmp_path / "out", terms)
    assert row.seconds is not None
    assert 100 <= row.seconds < 105
    [counted] = compare(["quick"], manifest, tmp_path / "counted", Terms(32, "", 0.0, photos=640))
    assert counted.photos_seen == 640
    settings = load_settings(tmp_path / "counted" / "quick" / "settings.yaml")
    assert settings.train.epochs * settings.train.epoch_photos == 640


def test_a_killed_comparison_leaves_no_training_behind(tmp_path: Path) -> None:
    manifest = write_set(tmp_path / "data", train=6, val=3)
    out = tmp_path / "out"
    words = ["quick", "--on", manifest, "--out", out, "--size", "64", "--photos", "100000"]
    command = [sys.executable, "-m", "maskwise", "compare", *map(str, words)]
    command += ["--backbone", "test_efficientnet"]
    command += [word for setting in SMALL for word in ("--set", setting)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        record = out / "quick" / "run" / "run.json"
        for _ in range(900):
            if record.is_file():
                break
            time.sleep(0.1)
        training = psutil.Process(process.pid).children(recursive=True)
        assert training, "nothing was trained"
        process.terminate()
        process.wait(30)
    _, left = psutil.wait_procs(training, timeout=10)
    assert not left


def test_recipes_are_scored_alike_and_changed_ones_are_not_mixed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stand_in(*_: object) -> dict[str, object]:
        raise SettingsError("it was trained")

    monkeypatch.setattr(comparing, "run_command", stand_in)
    manifest, terms = write_set(tmp_path / "data", train=6, val=3), Terms(32, "", 10.0)
    mine = own_recipe(tmp_path / "mine.yaml", "train: {val_fold: 2, max_photos: 4, epochs: 9}")
    settings = common_settings(find_recipe(str(mine)), terms)
    assert (settings.train.val_fold, settings.train.max_photos) == ("val", 0)
    other = Terms(32, "", 10.0, overrides=("train.val_fold=2",))
    assert common_settings(find_recipe(str(mine)), other).train.val_fold == "2"
    out = tmp_path / "out"
    assert [row.error for row in compare([str(mine)], manifest, out, terms)] == ["it was trained"]
    own_recipe(mine, "optim: {lr: 0.5}")
    [row] = compare([str(mine)], manifest, out, terms)
    assert "it was changed since" in row.error
    [row] = compare(["age-first"], manifest, out, terms)
    assert row.error == "it learns age_group only, not the 18 classes"
    waits = own_recipe(tmp_path / "waits.yaml", "schedule: {name: plateau}")
    [row] = compare([str(waits)], manifest, out, terms)
    assert "scores of the people that it is compared on" in row.error
    frozen = own_recipe(tmp_path / "frozen.yaml", "optim: {freeze_epochs: 5}\ntrain: {epochs: 20}")
    timed = timed_settings(common_settings(find_recipe(str(frozen)), terms), 100)
    assert timed.optim.freeze_epochs == 2
    (tmp_path / "latin.yaml").write_bytes(b"# \xe9t\xe9\ntrain: {epochs: 2}\n")
    [row] = compare([str(tmp_path / "latin.yaml")], manifest, out, terms)
    assert "cannot read" in row.error


def test_a_mistake_in_what_is_alike_leaves_no_folder(tmp_path: Path) -> None:
    manifest = write_set(tmp_path / "data", train=6, val=3)
    for word, message in (
        ("train.epochz=3", "did you mean"),
        ("train.epochs=3", "sets that itself"),
    ):
        terms = Terms(32, "", 1.0, overrides=(word,))
        with pytest.raises(SettingsError, match=message):
            list(compare(["quick"], manifest, tmp_path / "out", terms))
    assert not (tmp_path / "out").exists()
    bad = own_recipe(tmp_path / "bad.yaml", "train: {epoch: 3}")
    words = ["compare", str(bad), "--on", str(manifest), "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(app, words).exit_code == 2


def test_a_folder_of_other_things_and_a_name_twice_are_refused(tmp_path: Path) -> None:
    manifest = write_set(tmp_path / "data", train=6, val=3)
    with pytest.raises(SettingsError, match="the folder holds other things"):
        list(compare(["quick"], manifest, tmp_path / "data", Terms(32, "", 1.0)))
    with pytest.raises(SettingsError, match="named twice: quick"):
        list(compare(["quick", "quick"], manifest, tmp_path / "out", Terms(32, "", 1.0)))
    result = CliRunner().invoke(app, ["compare", "quick", "--on", str(manifest), "--budget", "20"])
    assert result.exit_code == 2
    assert "expected a time such as 90s, 20m or 2h" in result.output


def test_ablations_differ_from_best_in_one_piece() -> None:
    best = setting_values(load_settings(None, (), find_recipe("best").path))
    files = sorted((Path(__file__).parents[2] / "benchmarks" / "ablation").glob("*.yaml"))
    changed = {}
    for file in files:
        own = setting_values(load_settings(None, (), file))
        changed[file.stem] = {key.split(".")[0] for key in own if own[key] != best[key]}
    assert all(len(sections) == 1 for sections in changed.values()), changed
    assert set.union(*changed.values()) == {
        "preprocess", "model", "loss", "optim", "augment", "train"
    }  # fmt: skip
