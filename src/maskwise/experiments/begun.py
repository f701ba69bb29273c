"""How an experiment of several runs begins, or goes on where it was stopped."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from maskwise.config import Settings
from maskwise.data.manifest import write_manifest
from maskwise.errors import RunError, SettingsError
from maskwise.settings import write_settings
from maskwise.storage import write_json

MANIFEST: Final = "manifest.csv"
_ORIGIN: Final = "origin.json"


def is_begun(out: Path) -> bool:
    """Return whether an experiment was begun in a folder."""
    return (out / _ORIGIN).is_file()


def begin_experiment(
    out: Path,
    what: str,
    instead: str,
    origin: Mapping[str, Any],
    make_manifest: Callable[[], pl.DataFrame],
    settings: Settings,
    resume: bool,
) -> None:
    """Write settings and manifest of an experiment, or check that what was begun is the same.

    Args:
        out: The folder of the experiment.
        what: What it is, for messages: 'cross-validation'.
        instead: How several processes train one of its runs, for a message.
        origin: Values that decide it, such as the manifest's digest.
        make_manifest: Makes the manifest of all its runs; called once.
        settings: The settings of its runs.
        resume: Whether an experiment that was begun may go on.

    Raises:
        RunError: The folder holds other things, or an experiment and not `resume`.
        SettingsError: It was begun with another origin; or several processes would run it.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SettingsError(f"several processes train one run at a time, not a {what}: {instead}")
    origin = {"experiment": what, **origin}
    noted = out / _ORIGIN
    if not noted.is_file():
        killed = {"settings.yaml", MANIFEST} if resume else set()
        if out.is_dir() and {path.name for path in out.iterdir()} - killed:
            raise RunError(f"{out} is not empty and no {what}; name another folder")
        frame = make_manifest()
        write_settings(out / "settings.yaml", settings)
        write_manifest(frame, out / MANIFEST)
        write_json(noted, dict(origin))  # last: from now on it can be resumed
        return
    if not resume:
        raise RunError(f"{out} holds a {what}; add --resume, or name another folder")
    try:
        found = {"experiment": "cross-validation"} | json.loads(noted.read_text(encoding="utf-8"))
        if found["experiment"] != what:
            raise RunError(f"{out} holds a {found['experiment']}; name another folder")
        old = {name: found[name] for name in origin}
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{noted} is damaged: {error}") from error
    changed = [name for name in origin if old[name] != origin[name]]
    if changed:
        raise SettingsError(
            f"{out} was begun with another {' and '.join(changed)}; name another folder"
        )
