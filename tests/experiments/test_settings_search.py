"""The search of settings: of a space, on training people only, shared and gone on with."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import polars as pl
import pytest
import yaml
from filelock import FileLock
from typer.testing import CliRunner

from commands import invoke, kill_when
from conftest import TINY, write_set
from maskwise.cli import app
from maskwise.config import Settings, TrainSettings
from maskwise.data.manifest import read_manifest, write_manifest
from maskwise.errors import ManifestError, SettingsError, StorageError
from maskwise.experiments import settings_search
from maskwise.experiments.settings_search import FoundSettings, search_settings
from maskwise.experiments.space import read_space
from maskwise.experiments.trials import draw_apart, open_study
from maskwise.settings import load_settings

SPACE = """
optim.lr: {low: 1.0e-4, high: 1.0e-1, log: true}
model.head: [multi, single]
train.batch_size: {low: 4, high: 16, step: 4}
loss.task_weights.age_group: {low: 0.5, high: 2.0}
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    return path


def scored(monkeypatch: pytest.MonkeyPatch, score: Any) -> list[Settings]:
    """Score trials by a function of their settings; return what was scored."""
    seen: list[Settings] = []

    def stand_in(inner: Path, folder: Path, settings: Settings, trial: Any) -> float:
        seen.append(settings)
        return float(score(settings))

    monkeypatch.setattr(settings_search, "trained_score", stand_in)
    return seen


def search(
    manifest: Path, out: Path, space: Path, trials: int, storage: str | None = None, **base: Any
) -> FoundSettings:
    settings = Settings.model_validate({"model": {"backbone": "test_efficientnet"}, **base})
    return search_settings(
        manifest, out, settings, space, trials, storage, "s", lambda _: None
    )  # fmt: skip


def test_the_best_of_a_space_is_written_as_a_recipe(
    manifest: Path, tmp_path: Path, space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def likes(settings: Settings) -> float:
        if len(seen) == 7 and not stopped:
            stopped.append(1)
            raise KeyboardInterrupt
        return settings.train.batch_size / 20 + (settings.model.head == "single") / 10

    stopped: list[int] = []
    seen = scored(monkeypatch, likes)
    with pytest.raises(KeyboardInterrupt):
        search(manifest, tmp_path / "out", space, 20)
    found = search(manifest, tmp_path / "out", space, 20)
    assert found.trials == 20
    assert len(seen) == 21
    assert {settings.train.batch_size for settings in seen} <= {4, 8, 12, 16}
    assert all(1e-4 <= settings.optim.lr <= 1e-1 for settings in seen)
    assert min(settings.optim.lr for settings in seen) < 3e-3  # by orders of magnitude
    refused = [s for s in seen if s.model.head == "single"]
    assert refused == []  # a single head has no weights of tasks: these are no trials
    assert found.refused > 0
    best = max(seen, key=lambda settings: settings.train.batch_size)
    assert found.score == best.train.batch_size / 20 == 0.8
    recipe = load_settings(None, (), Path(found.recipe))
    assert recipe.train.batch_size == found.values["train.batch_size"] == 16
    assert recipe.optim.lr == pytest.approx(found.values["optim.lr"])
    assert recipe.model.backbone == "test_efficientnet"
    assert "score 0.8000, the best of 20 trials" in Path(found.recipe).read_text()
    assert next(iter(found.importances)) == "train.batch_size"
    page = Path(found.page).read_text()
    assert page.count("<svg") == 6  # history, importance, and each setting


def test_a_space_is_trained_and_scored(tmp_path: Path) -> None:
    manifest, out = write_set(tmp_path / "data", train=36, val=6), tmp_path / "out"
    space = tmp_path / "space.yaml"
    space.write_text("optim.lr: [0.0001, 0.01]\n")
    words = ["search", str(manifest), *TINY, f"cache.folder={tmp_path / 'cache'}",
             "train.epochs=1", "--space", str(space), "--out", str(out)]  # fmt: skip
    result = CliRunner().invoke(app, [*words, "--trials", "2", "--json"])
    assert result.exit_code == 0, result.output + repr(result.exception)
    found = json.loads(result.stdout)
    assert found["trials"] == 2
    assert 0 <= found["score"] <= 1
    assert not list(out.glob("trial-*"))
    run = ["train", str(manifest), "--recipe", found["recipe"],
           f"cache.folder={tmp_path / 'cache'}", "--out", str(tmp_path / "run")]  # fmt: skip
    assert CliRunner().invoke(app, run).exit_code == 0


def test_a_killed_search_goes_on(tmp_path: Path) -> None:
    manifest, out = write_set(tmp_path / "data", train=36, val=6), tmp_path / "out"
    space = tmp_path / "space.yaml"
    space.write_text("optim.lr: {low: 0.0001, high: 0.01}\n")
    words = ["search", manifest, *TINY, f"cache.folder={tmp_path / 'cache'}", "train.epochs=4",
             "--space", space, "--out", out, "--trials", 3]  # fmt: skip
    kill_when((out / "trial-1" / "last" / "training.safetensors").is_file, *words)
    study = optuna.load_study(storage=f"sqlite:///{out / 'study.db'}", study_name=None)
    first = study.trials[0]
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "RUNNING"]
    assert invoke(*words)["trials"] == 3
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", *["COMPLETE"] * 2]
    assert (study.trials[0].value, study.trials[0].params) == (first.value, first.params)
    assert not list(out.glob("trial-*"))


def test_wrong_spaces_are_refused_all_at_once(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(
        "optim.lrr: [1, 2]\n"
        "optim.lr: {low: 1, high: 0.1}\n"
        "optim.weight_decay: {low: 0.1, high: 0.1}\n"
        "model.head: [multi, singel]\n"
        "train.ema: {low: 0.5, high: 1.5}\n"
        "model.dropout: 0.3\n"
        "train.batch_size: {low: 0, high: 8, log: true}\n"
        "schedule.gamma: {low: 0.1, hi: 0.5}\n"
    )
    with pytest.raises(SettingsError) as raised:
        read_space(path, Settings())
    message = str(raised.value)
    for part in ("did you mean optim.lr?", "low 1 is not below high 0.1",
                 "low 0.1 is not below high 0.1", "'singel'", "train.ema: 1.5",
                 "expected two choices or more", "log needs low above 0",
                 "schedule.gamma: Field required"):  # fmt: skip
        assert part in message
    path.write_text("[1, 2]")
    with pytest.raises(SettingsError, match="expected settings and what they may be"):
        read_space(path, Settings())
    with pytest.raises(SettingsError, match="cannot read the space"):
        read_space(tmp_path / "none.yaml", Settings())


def test_a_full_disk_ends_a_search_and_uses_up_no_trial(
    manifest: Path, tmp_path: Path, space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Settings) -> float:
        if len(seen) == 2:
            raise StorageError("the disk is full")
        return 0.5

    seen = scored(monkeypatch, full)
    space.write_text("optim.lr: {low: 1.0e-4, high: 1.0e-1, log: true}")
    with pytest.raises(StorageError):
        search(manifest, tmp_path / "out", space, 4)
    found = search(manifest, tmp_path / "out", space, 4)
    assert (found.trials, found.refused, len(seen)) == (4, 0, 5)


def test_numbers_are_whole_where_the_setting_is(
    manifest: Path, tmp_path: Path, space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = scored(monkeypatch, lambda _: 0.5)
    space.write_text("optim.weight_decay: {low: 0, high: 1}\ntrain.epochs: {low: 2, high: 9}")
    search(manifest, tmp_path / "out", space, 5)
    assert any(settings.optim.weight_decay % 1 for settings in seen)
    assert all(isinstance(settings.train.epochs, int) for settings in seen)
    seen.clear()
    space.write_text("train.batch_size: {low: 1, high: 256, log: true}")
    search(manifest, tmp_path / "by-orders", space, 20)
    assert sum(settings.train.batch_size < 16 for settings in seen) > 5  # a sixteenth else


def test_a_wrong_manifest_leaves_no_study_behind(
    manifest: Path, tmp_path: Path, space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(monkeypatch, lambda _: 0.5)
    unsplit = tmp_path / "unsplit.csv"
    frame = read_manifest(manifest)
    write_manifest(frame.with_columns(fold=pl.lit(None, pl.String)), unsplit)
    with pytest.raises(ManifestError, match="no training rows"):
        search(unsplit, tmp_path / "out", space, 4)
    search(manifest, tmp_path / "out", space, 4)
    # what a killed trial left goes when the search does on; what another trains stays
    for name in ("trial-0", "trial-1"):
        (tmp_path / "out" / name).mkdir()
    with FileLock(tmp_path / "out" / "trial-1" / ".lock"):
        search(manifest, tmp_path / "out", space, 4)
        assert [path.name for path in (tmp_path / "out").glob("trial-*")] == ["trial-1"]


def test_a_study_of_another_space_is_refused(
    manifest: Path, tmp_path: Path, space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(monkeypatch, lambda _: 0.5)
    search(manifest, tmp_path / "out", space, 4)
    space.write_text("optim.lr: [0.1, 0.2]\n")
    with pytest.raises(SettingsError, match="begun with other space"):
        search(manifest, tmp_path / "out", space, 4)
    with pytest.raises(SettingsError, match="holds other things"):
        search(manifest, manifest.parent, space, 1)
    with pytest.raises(SettingsError, match="cannot be opened in nonsense"):
        search(manifest, tmp_path / "other", space, 1, "nonsense://nowhere")
    space.write_text("loss.task_weights.age_group: {low: 0.5, high: 2.0}\n")
    with pytest.raises(SettingsError, match=r"(?s)no trial of .*such as: .*task_weights"):
        search(manifest, tmp_path / "refused", space, 2, model={"head": "single"})
    result = CliRunner().invoke(app, ["search", str(manifest), "--out", str(tmp_path / "x")])
    assert "settings are searched with --space" in result.output


_SHARED = """
import sys
from pathlib import Path
from maskwise.config import Settings
from maskwise.experiments import settings_search
settings_search.trained_score = lambda inner, folder, settings, trial: settings.optim.lr
manifest, out, space, storage = map(str, sys.argv[1:])
found = settings_search.search_settings(
    Path(manifest), Path(out), Settings(), Path(space), 14, storage, "shared", lambda text: None
)
print(found.trials)
"""


def test_two_processes_share_a_study(manifest: Path, tmp_path: Path) -> None:
    space, storage = tmp_path / "space.yaml", f"sqlite:///{tmp_path / 'shared.db'}"
    space.write_text(yaml.safe_dump({"optim.lr": {"low": 0.001, "high": 0.1}}))
    # the tables are made by one of them, before the other comes
    optuna.create_study(storage=storage, study_name="made")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _SHARED, manifest, tmp_path / name, space, storage],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    trials = [int(process.communicate(timeout=300)[0]) for process in processes]
    assert all(process.returncode == 0 for process in processes)
    study = optuna.load_study(storage=storage, study_name="shared")
    assert max(trials) == len(study.trials)
    assert 14 <= len(study.trials) <= 15  # the last two may be drawn at once
    assert len({trial.params["optim.lr"] for trial in study.trials}) == len(study.trials)


def test_trials_draw_by_seed_and_number_whoever_draws(tmp_path: Path) -> None:
    def drawn(file: str, seed: int) -> list[float]:
        storage = f"sqlite:///{tmp_path / file}"
        # both are there before either draws
        both = [open_study(storage, "shared", {}, TrainSettings()) for _ in range(2)]
        trials = [study.ask() for study in (*both, *both)]
        for trial in trials:
            draw_apart(trial, seed)
        return [trial.suggest_float("rate", 0, 1) for trial in trials]

    first = drawn("first.db", 0)
    assert len(set(first)) == 4
    assert drawn("again.db", 0) == first
    assert not set(drawn("other.db", 1)) & set(first)
