"""The run folder.

::

    runs/NAME/
        run.json        format, manifest hash, environment
        settings.yaml   all settings, as used
        metrics.jsonl   figures per epoch
        tensorboard/    figures and pictures; beside it those of other trackers
        best/           the model of the best epoch (model.safetensors, model.json, README.md)
        last/           the model of the last epoch, and training.safetensors to resume from
        epoch-4/        the model of that epoch, where train.keep_epochs names it
        teacher.csv     what a teacher says of the training photos; teacher.json: its sources
        .lock           held by the process that trains
"""

import json
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

import torch
from accelerate import Accelerator

from maskwise.config import Settings
from maskwise.errors import RunError, SettingsError, listed
from maskwise.settings import load_settings, setting_values, write_settings
from maskwise.storage import LOCK, file_digest, only_writer, remove_leftovers, write_json
from maskwise.version import __version__

RUN_FORMAT: Final = 2
_MAY_CHANGE: Final = ("cache.", "faces.", "track.", "train.device")
"""Settings that a resumed run may have otherwise: they do not change what is learnt."""


def kept_epoch(epoch: int) -> str:
    """Return the name of the folder with the model of an epoch that is kept."""
    return f"epoch-{epoch}"


@contextmanager
def run_folder(
    folder: Path, resume: bool, settings: Settings, manifest: Path, accelerator: Accelerator
) -> Iterator[None]:
    """Begin a run in a folder, or go on with one, and keep other runs out of it.

    Raises:
        RunError, SettingsError: it may not; see `check_folder`.
        StorageError: another process trains there, or the folder cannot be written.
    """
    check_folder(folder, resume, settings, manifest)
    accelerator.wait_for_everyone()  # nobody may find what the main process writes next
    if not accelerator.is_main_process:
        accelerator.wait_for_everyone()
        yield
        return
    with only_writer(folder):
        write_run(folder, settings, manifest, accelerator)
        accelerator.wait_for_everyone()
        yield


def saved_settings(folder: Path) -> Settings | None:
    """Return the settings of a run folder; None where there is none yet.

    Raises:
        SettingsError: the file is damaged.
    """
    path = folder / "settings.yaml"
    return load_settings(path) if path.is_file() else None


def check_folder(folder: Path, resume: bool, settings: Settings, manifest: Path) -> None:
    """Check that a run may begin in a folder, or, with `resume`, go on there.

    Raises:
        RunError: it holds other things, another run, a damaged one, or one of another version.
        SettingsError: the run there was begun with other settings.
    """
    record = folder / "run.json"
    if not record.is_file():
        if _holds_other_things(folder, resume, manifest):
            raise RunError(f"{folder} is not empty and no run folder; name another")
        return
    if not resume:
        raise RunError(f"{folder} holds a run already; add --resume, or name another folder")
    try:
        run = json.loads(record.read_text(encoding="utf-8"))
        found, digest = run["format"], run["manifest"]["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{record} is damaged: {error}") from error
    if found != RUN_FORMAT:
        raise RunError(
            f"{folder} has format {found!r}, this is Maskwise {__version__} with format "
            f"{RUN_FORMAT}; resume it with the version that began it"
        )
    if digest != file_digest(manifest):
        raise RunError(f"{manifest} has changed since {folder} was begun; start a new run")
    _check_same_settings(folder, settings)
    if run.get("policy") != _policy_digest(settings):
        raise RunError(
            f"{settings.augment.policy} has changed since {folder} was begun; start a new run"
        )


def _policy_digest(settings: Settings) -> str | None:
    """Return what tells a policy that stands in a file; None for one that has a name."""
    path = Path(settings.augment.policy).expanduser()
    return file_digest(path) if path.is_file() else None


def _holds_other_things(folder: Path, resume: bool, manifest: Path) -> bool:
    if not folder.is_dir():
        return False
    # a data folder given instead of a manifest is imported into the run folder
    names = {path.name for path in folder.iterdir() if path != manifest} - {LOCK}
    if resume:  # a run killed while it began
        names -= {"settings.yaml"}
        names = {name for name in names if not name.endswith(".tmp")}
    return bool(names)


def _check_same_settings(folder: Path, settings: Settings) -> None:
    before = saved_settings(folder)
    if before is None:
        raise RunError(f"{folder / 'settings.yaml'} is missing; start a new run in another folder")
    old, new = (setting_values(one) for one in (before, settings))
    changed = [
        f"{key} was {old[key]!r}, is {new[key]!r}"
        for key in old
        if old[key] != new[key] and not key.startswith(_MAY_CHANGE)
    ]
    if changed:
        raise SettingsError(
            f"{folder} was begun with other settings; a resumed run keeps its own:\n"
            f"{listed(changed)}"
        )


def write_run(folder: Path, settings: Settings, manifest: Path, accelerator: Accelerator) -> None:
    """Write what a run is, its settings first: a folder with `run.json` can be resumed.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    remove_leftovers(folder)
    write_settings(folder / "settings.yaml", settings)
    libraries = ("torch", "timm", "accelerate", "kornia", "numpy", "polars", "pillow")
    write_json(
        folder / "run.json",
        {
            "format": RUN_FORMAT,
            "policy": _policy_digest(settings),
            "manifest": {"path": str(manifest.resolve()), "sha256": file_digest(manifest)},
            "environment": {
                "maskwise": __version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "device": str(accelerator.device),
                "processes": accelerator.num_processes,
                "threads": torch.get_num_threads(),
                "libraries": {name: version(name) for name in libraries},
                "command": sys.argv,
            },
        },
    )
