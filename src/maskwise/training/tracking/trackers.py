"""One interface to those who keep figures and pictures of runs.

A run that goes on after a stop goes on there too: `trackers.json` in its folder says under what id.
"""

import importlib.util
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from maskwise.config import Settings
from maskwise.errors import SettingsError
from maskwise.settings import setting_values
from maskwise.storage import write_json

_IDS: Final = "trackers.json"
_FEW: Final = 200
"""Figures that are sent to MLflow at once."""


class Tracker(Protocol):
    """Keeps figures and pictures by name and optimizer step."""

    def figures(self, values: Mapping[str, float], step: int) -> None:
        """Keep figures."""

    def picture(self, name: str, image: Image.Image, step: int) -> None:
        """Keep a picture."""

    def close(self) -> None:
        """Write what waits."""


class TensorBoard:
    """Event files in `tensorboard/` of the run folder."""

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        self._step = step
        self._writer: SummaryWriter | None = None

    def figures(self, values: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        for name, value in values.items():
            self._board().add_scalar(name, value, step)

    def picture(self, name: str, image: Image.Image, step: int) -> None:
        """See `Tracker`."""
        board = self._board()
        board.add_image(name, np.asarray(image.convert("RGB")), step, dataformats="HWC")
        board.flush()

    def close(self) -> None:
        """See `Tracker`."""
        if self._writer:
            self._writer.close()

    def _board(self) -> SummaryWriter:
        if self._writer is None:
            # what a killed run wrote past its last checkpoint is written again
            folder = str(self._folder / "tensorboard")
            self._writer = SummaryWriter(folder, purge_step=self._step + 1)
        return self._writer


class WeightsAndBiases:
    """A run of Weights & Biases, in `wandb/` of the run folder or sent as it goes."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        import wandb

        self._wandb: Any = wandb
        known = _known_ids(folder).get("wandb")
        self._run: Any = wandb.init(
            project=settings.track.project,
            name=folder.name,
            dir=str(folder),
            mode=settings.track.wandb_mode,
            id=known,
            resume="allow" if known else None,
            reinit="create_new",
            config=setting_values(settings),
            settings=wandb.Settings(silent=True),
        )
        _remember_id(folder, "wandb", self._run.id)

    def figures(self, values: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        self._run.log(dict(values), step=step)

    def picture(self, name: str, image: Image.Image, step: int) -> None:
        """See `Tracker`."""
        self._run.log({name: self._wandb.Image(image)}, step=step)

    def close(self) -> None:
        """See `Tracker`."""
        self._run.finish()


class MLflow:
    """A run of MLflow, in a SQLite file in the run folder or where settings say."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.tracking import MlflowClient

        folder.mkdir(parents=True, exist_ok=True)
        place = settings.track.mlflow_uri or f"sqlite:///{(folder / 'mlflow.db').resolve()}"
        self._client: Any = MlflowClient(place)
        known = _known_ids(folder).get("mlflow")
        self._run = known or self._begin(folder, settings)
        _remember_id(folder, "mlflow", self._run)
        self._waiting: list[Any] = []

    def _begin(self, folder: Path, settings: Settings) -> str:
        name = settings.track.project
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(
            name, artifact_location=(folder / "mlflow").resolve().as_uri()
        )  # fmt: skip
        run = self._client.create_run(experiment, run_name=folder.name)
        for key, value in setting_values(settings).items():
            self._client.log_param(run.info.run_id, key, value)
        return str(run.info.run_id)

    def figures(self, values: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._waiting += [Metric(name, value, now, step) for name, value in values.items()]
        if len(self._waiting) >= _FEW:
            self._send()

    def picture(self, name: str, image: Image.Image, step: int) -> None:
        """See `Tracker`."""
        self._client.log_image(self._run, image, artifact_file=f"{name}/{step}.png")
        self._send()

    def close(self) -> None:
        """See `Tracker`."""
        self._send()
        self._client.set_terminated(self._run)

    def _send(self) -> None:
        if self._waiting:
            self._client.log_batch(self._run, metrics=self._waiting)
        self._waiting = []


_OTHERS: Final[dict[str, Callable[[Path, Settings], Tracker]]] = {
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
}


def open_trackers(folder: Path, settings: Settings, step: int) -> list[Tracker]:
    """Return those who keep a run from a step on: TensorBoard, and those that settings name.

    Raises:
        SettingsError: one cannot be reached.
    """
    return [
        TensorBoard(folder, step),
        *[_opened(name, folder, settings) for name in settings.track.trackers],
    ]


def _opened(name: str, folder: Path, settings: Settings) -> Tracker:
    try:
        return _OTHERS[name](folder, settings)
    except Exception as error:  # each raises errors of its own kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SettingsError(
            f"track: {name} cannot be told ({reason}); mend that, or go on without it: --resume "
            "'track.trackers=[]'"
        ) from error


def check_trackers(settings: Settings) -> None:
    """Check that those whom settings name are installed.

    Raises:
        SettingsError: one is not.
    """
    missing = [name for name in settings.track.trackers if not importlib.util.find_spec(name)]
    if missing:
        raise SettingsError(
            f"track.trackers: {' and '.join(missing)} is not installed: "
            "pip install 'maskwise[track]'"
        )


def _known_ids(folder: Path) -> dict[str, str]:
    path = folder / _IDS
    ids: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return ids


def _remember_id(folder: Path, tracker: str, run: str) -> None:
    write_json(folder / _IDS, _known_ids(folder) | {tracker: run})
