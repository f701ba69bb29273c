"""A folder of trainings that are worked off one after another.

::

    DIR/
        queue/      settings files (.yaml, .json) that wait; more may be put there at any time
        running/    those that are trained now
        done/       those that are finished, each with its log
        failed/     likewise
        runs/NAME   the run folders
        results.csv state, score and time of each

A file holds settings, and beside them `manifest`.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import yaml

from maskwise.data.csv_files import read_rows
from maskwise.errors import ManifestError, MaskwiseError, RunError, SettingsError
from maskwise.experiments.process import run_command
from maskwise.storage import only_writer, write_csv, write_json, write_text
from maskwise.yaml_text import parse_yaml

WAITING, RUNNING, DONE, FAILED = "queue", "running", "done", "failed"
_KINDS: Final = (".yaml", ".yml", ".json")
_PAUSE: Final = 0.5
"""Seconds between looks into the folder."""
_PATIENCE: Final = 10.0
"""Seconds that a training left over by a killed queue is given to end."""


@dataclass(frozen=True)
class Result:
    """How one training stands."""

    name: str
    state: str
    score: float | None = None
    macro_f1: float | None = None
    epochs: int | None = None
    seconds: float | None = None
    error: str = ""


class Queue:
    """Works off a folder; one at a time may."""

    def __init__(
        self,
        folder: Path,
        manifest: Path | None,
        devices: Sequence[str],
        told: Callable[[Result], None],
    ) -> None:
        """Prepare to work with a worker for each of `devices`.

        A device is what CUDA_VISIBLE_DEVICES is set to, or empty for what there is. `manifest` is
        for files that name none; `told` is called at each change of a training's state.
        """
        self._folder = folder
        self._manifest = manifest
        self._devices = devices
        self._told = told
        self._guard = threading.Lock()
        self._stopped = threading.Event()
        self._results: dict[str, Result] = {}
        self._refused: list[Result] = []

    def work(self, watch: bool) -> list[Result]:
        """Work until nothing waits, or, with `watch`, until interrupted; return all results.

        What was running when a queue was killed goes on first, where it was.

        Raises:
            StorageError: another queue works there, or the folder cannot be written.
        """
        with only_writer(self._folder):
            for name in (WAITING, RUNNING, DONE, FAILED, "runs"):
                (self._folder / name).mkdir(exist_ok=True)
            self._read_results()
            for path in self._files(RUNNING):
                _end_leftover(path)
            with ThreadPoolExecutor(len(self._devices)) as pool:
                workers = [pool.submit(self._worker, device, watch) for device in self._devices]
                try:
                    for worker in workers:
                        worker.result()
                except BaseException:
                    self._stopped.set()
                    raise
        return list(self._results.values())

    def _worker(self, device: str, watch: bool) -> None:
        while not self._stopped.is_set():
            path = self._take()
            while self._refused:
                self._note(self._refused.pop())
            if path is None:
                if not watch:
                    return
                self._stopped.wait(_PAUSE)
                continue
            self._train(path, device)

    def _take(self) -> Path | None:
        """Return the next file, moved to `running/`; those of a killed queue come first."""
        with self._guard:
            for path in self._files(RUNNING):
                if not _mark(path).exists():
                    _mark(path).touch()
                    return path
            for path in self._files(WAITING):
                if self._is_taken(path):
                    continue
                taken = self._folder / RUNNING / path.name
                path.replace(taken)
                _mark(taken).touch()
                return taken
        return None

    def _is_taken(self, path: Path) -> bool:
        """Whether another file has this one's name, and so its run folder; it is refused then."""
        others = [
            other
            for state in (RUNNING, DONE, FAILED)
            for other in self._files(state)
            if other.stem == path.stem and other.name != path.name
        ]
        if others:
            path.replace(self._folder / FAILED / path.name)
            error = f"{others[0].parent.name}/{others[0].name} has the same name: name it otherwise"
            self._refused.append(Result(path.name, FAILED, error=error))
        return bool(others)

    def _files(self, state: str) -> list[Path]:
        """Return the settings files in a folder, the oldest first."""
        found = [
            path
            for path in (self._folder / state).iterdir()
            if path.suffix in _KINDS and not path.name.startswith(".") and path.is_file()
        ]
        return sorted(found, key=lambda path: (path.stat().st_mtime, path.name))

    def _train(self, path: Path, device: str) -> None:
        log = path.with_suffix(".log")
        begun = time.monotonic()
        self._note(Result(path.stem, RUNNING))
        try:
            summary = self._run(path, log, device)
            result = Result(
                path.stem,
                DONE,
                summary["best_score"],
                summary["metrics"].get("macro_f1"),
                summary["epochs"],
                round(time.monotonic() - begun, 1),
            )
        except MaskwiseError as error:
            with log.open("a", encoding="utf-8") as said:
                said.write(f"error: {error}\n")
            said_all = " ".join(str(error).split())
            result = Result(path.stem, FAILED, error=said_all or "it was stopped")
        if self._stopped.is_set() and result.state == FAILED:
            return  # it goes on when the queue does
        for file in (path, log):
            if file.is_file():
                file.replace(self._folder / result.state / file.name)
        _mark(path).unlink(missing_ok=True)
        self._note(result)

    def _run(self, path: Path, log: Path, device: str) -> dict[str, Any]:
        """Train what a file asks for; return the summary.

        Raises:
            SettingsError: the file is wrong, or the training failed; with what it said last.
        """
        values = read_job(path)
        manifest = values.pop("manifest", None)
        manifest = Path(manifest).expanduser() if manifest else self._manifest
        if manifest is None:
            raise SettingsError(f"{path.name}: name the manifest, or start the queue with --on")
        config = _mark(path).with_suffix(".yaml")
        write_text(config, yaml.safe_dump(values))
        words = ["train", manifest, "--config", config, "--resume"]
        words += ["--out", self._folder / "runs" / path.stem]
        try:
            return run_command(
                words,
                log,
                {"CUDA_VISIBLE_DEVICES": device} if device else None,
                lambda pid: _remember(path, pid),
                self._stopped,
            )
        finally:
            config.unlink(missing_ok=True)

    def _note(self, result: Result) -> None:
        with self._guard:
            self._results[result.name] = result
            columns = list(Result.__dataclass_fields__)
            rows = [list(asdict(row).values()) for row in self._results.values()]
            write_csv(self._folder / "results.csv", columns, rows)
        self._told(result)

    def _read_results(self) -> None:
        path = self._folder / "results.csv"
        if not path.is_file():
            return
        try:
            for _, row in read_rows(path):
                self._results[row["name"]] = Result(
                    name=row["name"],
                    state=row["state"],
                    score=float(row["score"]) if row["score"] else None,
                    macro_f1=float(row["macro_f1"]) if row["macro_f1"] else None,
                    epochs=int(row["epochs"]) if row["epochs"] else None,
                    seconds=float(row["seconds"]) if row["seconds"] else None,
                    error=row["error"],
                )
        except (ManifestError, KeyError, ValueError) as error:
            raise RunError(
                f"{path} is damaged ({error}): mend it, or remove it and lose the table of what is "
                "done"
            ) from error


def _mark(path: Path) -> Path:
    """Return the file that says who trains what a settings file asks for."""
    return path.with_name(f".{path.stem}.process")


def _remember(path: Path, pid: int) -> None:
    """Note which process trains what a settings file asks for."""
    write_json(_mark(path), {"pid": pid, "born": psutil.Process(pid).create_time()})


def _end_leftover(path: Path) -> None:
    """End a training that a killed queue left running, and forget who trained."""
    mark = _mark(path)
    try:
        noted = json.loads(mark.read_text(encoding="utf-8"))
        process = psutil.Process(noted["pid"])
        if abs(process.create_time() - noted["born"]) < 1:
            process.terminate()
            process.wait(_PATIENCE)
    except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
        pass
    except psutil.TimeoutExpired:
        process.kill()
    mark.unlink(missing_ok=True)


def read_job(path: Path) -> dict[str, Any]:
    """Return the settings of a file, with `manifest` among them.

    Raises:
        SettingsError: it cannot be read, or holds something else.
    """
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))  # JSON is YAML
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        raise SettingsError(f"{path.name} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path.name}: expected settings, found {values!r}")
    if not isinstance(values.get("manifest", ""), str):
        raise SettingsError(f"{path.name}: manifest: expected a path")
    return values
