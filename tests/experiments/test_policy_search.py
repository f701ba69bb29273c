"""The search of an augmentation policy: on training people only, resumable, its policy usable."""

import json
import shutil
from pathlib import Path
from typing import Any

import optuna
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from conftest import read_rows, write_set
from maskwise.cli import app
from maskwise.config import Settings, TrainSettings
from maskwise.data.manifest import read_manifest, write_manifest
from maskwise.errors import ManifestError, SettingsError
from maskwise.experiments import policy_search
from maskwise.experiments.policy_search import search_policy
from maskwise.experiments.trials import Watched, inner_manifest, open_study
from maskwise.transforms.augment.policy import Policy, read_policy


def invoke(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def test_a_found_policy_is_written_and_trains(tmp_path: Path, tiny: list[str]) -> None:
    manifest, out = write_set(tmp_path / "data", train=36, val=6), tmp_path / "search"
    quick = [*tiny, "train.epochs=1", "train.epoch_photos=16"]
    words = ["search", "augment", manifest, *quick, "--out", out, "--sequences", "2", "--json"]
    found = json.loads(invoke(*words, "--trials", "2"))
    assert found["trials"] == 2
    policy = read_policy(Path(found["policy"]))
    assert [len(sequence) for sequence in policy.sequences] == [2, 2]
    inner = read_rows(out / "manifest.csv")
    outer = read_rows(manifest).filter(pl.col("fold") == "train")
    assert set(inner["person"]) == set(outer["person"])
    folds = inner.group_by("person").agg(pl.col("fold").n_unique())
    assert (folds["fold"] == 1).all()
    assert set(inner["fold"]) == {"train", "val"}
    assert not list(out.glob("trial-*"))
    assert 0 <= found["score_without"] <= 1
    # asked for the same again nothing is trained; asked for more, the rest
    assert json.loads(invoke(*words, "--trials", "2")) == found
    words = ["train", manifest, *quick, f"augment.policy={found['policy']}"]
    invoke(*words, "--out", tmp_path / "run")
    kept = yaml.safe_load((tmp_path / "run" / "settings.yaml").read_text())
    assert kept["augment"]["policy"] == found["policy"]
    # another policy in the same file is another run
    file = Path(found["policy"])
    file.write_text(file.read_text().replace("strength: ", "strength: 0  # "))
    words = ["train", str(manifest), "--resume", "--out", str(tmp_path / "run")]
    assert "has changed since" in str(CliRunner().invoke(app, words).exception)


def scored_by(monkeypatch: pytest.MonkeyPatch, score: Any) -> list[Policy | None]:
    """Score trials by a function of their policy; return what was scored."""
    seen: list[Policy | None] = []

    def stand_in(inner: Path, folder: Path, settings: Settings, trial: Any) -> float:
        name = settings.augment.policy
        policy = None if name == "none" else read_policy(Path(name))
        seen.append(policy)
        return float(score(policy))

    monkeypatch.setattr(policy_search, "trained_score", stand_in)
    return seen


def search(manifest: Path, out: Path, trials: int, **settings: Any) -> policy_search.FoundPolicy:
    chosen = Settings.model_validate(settings)
    return search_policy(manifest, out, chosen, trials, 1, lambda _: None)


def test_the_best_policy_is_found_and_a_stopped_search_goes_on(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def likes(policy: Policy | None) -> float:
        if policy is None:
            return 0.25
        if len(seen) == 6:
            raise KeyboardInterrupt
        return policy.sequences[0][0].probability

    seen = scored_by(monkeypatch, likes)
    with pytest.raises(KeyboardInterrupt):
        search(manifest, tmp_path / "out", 12)
    found = search(manifest, tmp_path / "out", 12)
    assert (found.trials, found.score_without) == (12, 0.25)
    policies = [policy for policy in seen if policy]
    assert len(policies) == 13  # the one that was stopped is tried by another
    assert len({policy.model_dump_json() for policy in policies}) == 13
    best = read_policy(Path(found.policy)).sequences[0][0].probability
    assert (
        best == pytest.approx(found.score) == max(p.sequences[0][0].probability for p in policies)
    )
    assert seen.count(None) == 1


def test_people_with_the_same_photo_stay_together_within_a_search(tmp_path: Path) -> None:
    manifest = write_set(tmp_path / "data", train=24, val=6)
    frame = read_manifest(manifest)
    copies = []
    for row in frame[:12].iter_rows(named=True):
        copy = tmp_path / f"{row['person']}.png"
        shutil.copyfile(row["photo"], copy)
        copies.append({**row, "photo": str(copy), "person": f"copy-{row['person']}"})
    write_manifest(pl.concat([frame, pl.DataFrame(copies, schema=frame.schema)]), manifest)
    inner = inner_manifest(manifest, Settings.model_validate({"cache": {"workers": 0}}))
    folds = dict(zip(inner["person"], inner["fold"], strict=True))
    assert set(folds.values()) == {"train", "val"}
    assert len(folds) == 36, "those who validate the run take no part"
    assert all(folds[f"copy-p{number}"] == folds[f"p{number}"] for number in range(12))


def test_hopeless_trials_end_when_half_their_epochs_are_done() -> None:
    study = open_study("sqlite://", "policy", {}, TrainSettings(epochs=4))
    for number in range(5):
        trial = study.ask()
        for epoch in range(1, 5):
            Watched(trial).epoch_done(epoch, {"score": 0.5 + number / 100}, best=True)
        study.tell(trial, 0.5)
    watched = Watched(study.ask())
    watched.epoch_done(1, {"score": 0.1}, best=False)
    with pytest.raises(optuna.TrialPruned):
        watched.epoch_done(2, {"score": 0.1}, best=False)


def test_other_settings_folders_and_manifests_are_refused(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored_by(monkeypatch, lambda _: 0.5)
    search(manifest, tmp_path / "out", 1)
    with pytest.raises(SettingsError, match="begun with other settings"):
        search(manifest, tmp_path / "out", 1, train={"seed": 9})
    with pytest.raises(SettingsError, match="holds other things"):
        search(manifest, manifest.parent, 1)
    manifest.write_text(manifest.read_text().replace(",train\n", ",\n"))
    with pytest.raises(ManifestError, match="has no training rows"):
        search(manifest, tmp_path / "other", 1)
    for wrong in ({"model": {"head": "tasks"}}, {"augment": {"policy_share": 0}}):
        with pytest.raises(SettingsError, match=r"three trainings|would do nothing"):
            search(manifest, tmp_path / "none", 1, **wrong)
    with pytest.raises(SettingsError, match="did you mean"):
        search(manifest, tmp_path / "none", 1, model={"backbone": "resnet81"})
    assert not (tmp_path / "none").exists()
    result = CliRunner().invoke(app, ["search", "policy", str(manifest), "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "settings are searched with --space" in result.output
