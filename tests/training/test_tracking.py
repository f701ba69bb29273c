"""Who keeps a run's figures and pictures: TensorBoard always, W&B and MLflow when asked."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from maskwise.cli import app
from maskwise.config import Settings
from maskwise.data.sheets import Tile
from maskwise.errors import SettingsError
from maskwise.settings import load_settings
from maskwise.training.losses.labels import Labels
from maskwise.training.pictures import batch_tiles, caption
from maskwise.training.tracking.trackers import WeightsAndBiases, check_trackers, open_trackers
from maskwise.training.validate import Validator


def train(manifest: Path, run: Path, *words: str) -> None:
    result = CliRunner().invoke(app, ["train", str(manifest), *words, "--out", str(run)])
    assert result.exit_code == 0, repr(result.exception)


def board(run: Path) -> EventAccumulator:
    found = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0, "scalars": 0})
    return found.Reload()


def test_tensorboard_has_curves_photos_and_mistakes(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    run = tmp_path / "run"
    train(manifest, run, *tiny, "train.epochs=2", "track.pictures=4", "mix.cutmix=0.5")
    found = board(run)
    assert [event.step for event in found.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in found.Scalars("val/score")] == [3, 6]
    photos = found.Images("train/photos")
    assert [event.step for event in photos] == [0, 3]
    assert photos[0].width == 8 * 160
    assert [event.step for event in found.Images("val/mistakes")] == [3, 6]
    train(manifest, run, "--resume")  # a run that is finished loses nothing of its board
    assert [event.step for event in board(run).Scalars("val/score")] == [3, 6]
    train(manifest, tmp_path / "plain", *tiny, "train.epochs=1", "track.pictures=0",
          "track.mistakes=0")  # fmt: skip
    assert not board(tmp_path / "plain").Tags()["images"]


def test_the_surest_mistakes_are_shown(
    manifest: Path, tmp_path: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[list[float], int]] = []
    plain = Validator.worst_mistakes

    def watched(self: Validator, count: int) -> list[Tile]:
        every = [float(text.split()[-1]) for _, text in plain(self, 1000)]
        tiles = plain(self, count)
        shown.append(([float(text.split()[-1]) for _, text in tiles], count))
        assert shown[-1][0] == sorted(every, reverse=True)[:count]
        assert len(set(every)) > 1
        return tiles

    monkeypatch.setattr(Validator, "worst_mistakes", watched)
    train(manifest, tmp_path / "run", *tiny, "train.epochs=1", "track.mistakes=3")
    assert [(len(sure), count) for sure, count in shown] == [(3, 3)]


def test_pictures_say_what_is_known_of_each_share() -> None:
    codes = {"mask": np.array([0, 2]), "gender": np.array([1, -1]), "age_group": np.array([2, 0])}
    ages = np.full(2, np.nan, np.float32)
    plain = Labels.of(codes, ages, np.array([0, 1]))
    assert caption(plain, 0) == "wear female old"
    assert caption(plain, 1) == "not_wear ? young"
    other = Labels.of(codes, ages, np.array([1]))
    mixed = plain.mixed(other, np.array([0]), np.array([0.46], np.float32))
    assert caption(mixed, 0) == "46 % wear female old, 54 % not_wear ? young"
    import torch

    tiles = batch_tiles(torch.full((2, 3, 8, 6), 0.5), mixed)
    assert tiles[0][0].size == (6, 8)
    assert tiles[1] == (tiles[1][0], "not_wear ? young")


@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_settings_figures_and_pictures_in_a_sqlite_file(
    manifest: Path, tmp_path: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    run = tmp_path / "run"
    words = [*tiny, "track.trackers=[mlflow]", "track.project=doors", "train.epochs=2"]
    train(manifest, run, *words)
    client = mlflow.MlflowClient(f"sqlite:///{run / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("doors")
    [kept] = client.search_runs([experiment.experiment_id])
    assert kept.info.status == "FINISHED"
    assert kept.data.params["train.epochs"] == "2"
    assert [m.step for m in client.get_metric_history(kept.info.run_id, "train/loss")] == [
        1, 2, 3, 4, 5, 6,
    ]  # fmt: skip
    assert len(client.get_metric_history(kept.info.run_id, "val/score")) == 2
    assert {file.name for file in (run / "mlflow").rglob("*.png")} >= {"0.png", "3.png"}
    # what goes on after a stop goes on in the same run
    trackers = open_trackers(run, Settings.model_validate({"track": {"trackers": ["mlflow"]}}), 6)
    trackers[1].figures({"train/loss": 0.5}, 7)
    trackers[1].close()
    history = client.get_metric_history(kept.info.run_id, "train/loss")
    assert (history[-1].step, history[-1].value) == (7, 0.5)


@pytest.mark.filterwarnings("ignore")
def test_weights_and_biases_keeps_an_offline_run(
    manifest: Path, tmp_path: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    run = tmp_path / "run"
    train(manifest, run, *tiny, "track.trackers=[wandb]", "train.epochs=1")
    [file] = (run / "wandb").rglob("*.wandb")
    content = file.read_bytes()
    for text in (b"train/loss", b"val/score", b"optim.lr", b"train/photos"):
        assert text in content
    assert list((run / "wandb").rglob("*.png"))
    identity = json.loads((run / "trackers.json").read_text())["wandb"]
    assert identity in file.name
    WeightsAndBiases(run, load_settings(run / "settings.yaml")).close()  # as of a resumed run
    assert all(identity in file.name for file in (run / "wandb").rglob("*.wandb"))
    assert len(list((run / "wandb").rglob("*.wandb"))) > 1


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    settings = Settings.model_validate({"track": {"trackers": ["wandb", "mlflow"]}})
    with pytest.raises(SettingsError, match=r"wandb and mlflow is not installed.*maskwise\[track"):
        check_trackers(settings)


@pytest.mark.filterwarnings("ignore")
def test_a_tracker_that_cannot_be_reached_is_told_and_can_be_left_out(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    run = tmp_path / "run"
    words = ["track.trackers=[mlflow]", "track.mlflow_uri=nonsense://x", "train.epochs=1"]
    result = CliRunner().invoke(app, ["train", str(manifest), *tiny, *words, "--out", str(run)])
    assert "mlflow cannot be told" in str(result.exception)
    train(manifest, run, "--resume", "track.trackers=[]")
    assert (run / "best" / "model.json").is_file()


def test_tensorboard_drops_what_a_killed_run_wrote_past_its_checkpoint(tmp_path: Path) -> None:
    for steps in (range(1, 6), range(3, 5)):
        [tracker] = open_trackers(tmp_path, Settings(), steps[0] - 1)
        for step in steps:
            tracker.figures({"train/loss": float(step)}, step)
        tracker.picture("train/photos", Image.new("RGB", (4, 4)), steps[-1])
        tracker.close()
    assert [event.step for event in board(tmp_path).Scalars("train/loss")] == [1, 2, 3, 4]
