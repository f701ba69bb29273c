"""A network for each task: trained by one command, joined, resumed; and networks of some tasks."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import maskwise
from conftest import read_rows, write_set
from maskwise.cli import app
from maskwise.labels import TASKS
from maskwise.models.bundle import load_bundle
from maskwise.training import run as runs


def invoke(*words: object, refused: bool = False) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if refused:
        assert result.exit_code != 0
        return str(result.exception)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def test_one_command_trains_and_joins_three_networks(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    run = tmp_path / "run"
    words = [*tiny, "model.head=tasks", "model.age=ordinal", "train.epochs=2"]
    words += ["preprocess.extra=luma", "loss.class_weight_lists={age_group: [1, 1, 2]}"]
    summary = json.loads(invoke("train", manifest, *words, "--out", run, "--json"))
    assert summary["metrics"]["macro_f1"] == summary["best_score"]
    joined = load_file(run / "best" / "model.safetensors")
    look = json.loads(invoke("train", manifest, *words, "--dry-run", "--out", run, "--json"))
    weights = [value.numel() for name, value in joined.items() if "running_" not in name]
    counters = sum(name.endswith("num_batches_tracked") for name in joined)
    # it looks at the network of ages for all three, whose heads differ by a few weights
    assert look["parameters"] == pytest.approx(sum(weights) - counters, rel=0.01)
    for task in TASKS:
        part = load_file(run / task / "best" / "model.safetensors")
        assert {f"tasks.{task}.{key}" for key in part} <= joined.keys()
        assert all(torch.equal(joined[f"tasks.{task}.{key}"], value) for key, value in part.items())
    last = load_file(run / "last" / "model.safetensors")
    part = load_file(run / "mask" / "last" / "model.safetensors")
    assert all(torch.equal(last[f"tasks.mask.{key}"], value) for key, value in part.items())
    photo = next((manifest.parent / "photos").iterdir())
    answer = maskwise.load(run, device="cpu").predict(str(photo))
    for task in TASKS:
        result = json.loads(invoke("evaluate", run / task, manifest, "--json"))
        assert result["tasks"][task]["photos"] == 13
        assert sum(result["tasks"][other]["photos"] for other in TASKS) == 13
        assert result["classes"]["photos"] == 0
        assert answer.probabilities is not None
    whole = json.loads(invoke("evaluate", run, manifest, "--json"))
    assert whole["classes"]["macro_f1"] == pytest.approx(summary["best_score"])
    assert whole["tasks"]["gender"]["accuracy"] == pytest.approx(
        json.loads(invoke("evaluate", run / "gender", manifest, "--json"))["tasks"]["gender"][
            "accuracy"
        ]
    )


def test_what_one_network_lacks_is_told_before_any_is_trained(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    run = tmp_path / "run"
    words = [*tiny, "model.head=tasks", "train.epochs=1", "--out", run]
    wrong = invoke("train", manifest, *words, "model.backbone=resnet81", refused=True)
    assert "did you mean" in wrong
    wrong = invoke("train", manifest, *words, "optim.frozen_stages=50", refused=True)
    assert "stages" in wrong
    rows = read_rows(manifest).with_columns(age=None, age_group=None)
    rows.write_csv(manifest)
    assert "no training photo has a label" in invoke("train", manifest, *words, refused=True)
    assert not run.exists()


def test_a_stopped_run_goes_on_with_the_network_it_was_at(
    manifest: Path, tmp_path: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*tiny, "model.head=tasks", "train.epochs=1"]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    invoke("train", manifest, *words, "--out", whole)
    train = runs.Trainer.run

    def stops(trainer: runs.Trainer) -> object:
        if trainer._folder.name == "gender":
            raise KeyboardInterrupt
        return train(trainer)

    monkeypatch.setattr(runs.Trainer, "run", stops)
    CliRunner().invoke(app, ["train", str(manifest), *words, "--out", str(stopped)])
    assert (stopped / "mask" / "best").is_dir()
    assert not (stopped / "best").exists()
    monkeypatch.undo()
    invoke("train", manifest, "--resume", "--out", stopped)
    one, other = (load_file(place / "best" / "model.safetensors") for place in (whole, stopped))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_network_of_one_task_is_scored_by_it_and_starts_others(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    ages = tmp_path / "ages"
    only = ["model.tasks=[age_group]", "model.age=distribution", "train.epochs=1"]
    summary = json.loads(invoke("train", manifest, *tiny, *only, "--out", ages, "--json"))
    assert summary["best_score"] == summary["metrics"]["age_group_balanced_accuracy"]
    assert "gender_accuracy" not in summary["metrics"]
    assert summary["metrics"]["age_mean_absolute_error"] > 0
    photo = str(next((manifest.parent / "photos").iterdir()))
    assert "answers age_group only" in invoke("predict", ages, photo, refused=True)
    words = [*tiny, f"model.pretrained={ages}", "train.epochs=1"]
    invoke("train", manifest, *words, "--out", tmp_path / "all")
    model, info = load_bundle(tmp_path / "all")
    assert info.pretrained.startswith("ages, SHA-256 ")
    assert set(model.heads) == set(TASKS)  # type: ignore[arg-type]


def test_ages_alone_are_learnt_from_photos_without_other_labels(
    tmp_path: Path, tiny: list[str]
) -> None:
    manifest = write_set(tmp_path / "data", unknown=True)
    words = [*tiny, "model.age_regression=true", "model.tasks=[age_group]", "train.epochs=1"]
    invoke("train", manifest, *words, "--out", tmp_path / "run")
    result = json.loads(invoke("evaluate", tmp_path / "run", manifest, "--json"))
    assert result["age"]["photos"] == result["tasks"]["age_group"]["photos"] > 0
    assert result["groups"]["gender"]
