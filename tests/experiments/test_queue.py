"""The queue: one training after another; what is killed goes on, what is wrong fails alone."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
import yaml
from filelock import FileLock
from typer.testing import CliRunner

from commands import wait_for
from conftest import TINY, write_set
from maskwise.cli import app
from maskwise.errors import RunError, StorageError
from maskwise.experiments import queue
from maskwise.experiments.queue import Queue, Result


def job(path: Path, place: Path, *words: str, **values: Any) -> Path:
    """Write a settings file that trains in seconds."""
    tree: dict[str, Any] = dict(values)
    for word in (*TINY, f"cache.folder={place / 'cache'}", *words):
        key, _, value = word.partition("=")
        section, _, name = key.partition(".")
        tree.setdefault(section, {})[name] = yaml.safe_load(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(tree) if path.suffix == ".json" else yaml.safe_dump(tree)
    path.write_text(text)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_set(tmp_path / "data", train=16, val=6)


def test_files_are_worked_off_and_a_bad_one_fails_alone(manifest: Path, tmp_path: Path) -> None:
    place = tmp_path / "q"
    job(place / "queue" / "1-good.yaml", tmp_path, "train.epochs=1", manifest=str(manifest))
    job(place / "queue" / "2-key.yaml", tmp_path, "train.epoch=1", manifest=str(manifest))
    job(place / "queue" / "3-other.json", tmp_path, "train.epochs=2", recipe="seed-3",
        manifest=str(manifest))  # fmt: skip
    (place / "queue" / "4-text.yaml").write_text("just words")
    (place / "queue" / "notes.txt").write_text("not a job")
    job(place / "queue" / "5-lost.yaml", tmp_path, "train.epochs=1")
    result = CliRunner().invoke(app, ["queue", str(place), "--workers", "2", "--json"])
    assert result.exit_code == 2, result.output + repr(result.exception)
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    states = {name: row["state"] for name, row in rows.items()}
    assert states == {"1-good": "done", "2-key": "failed", "3-other": "done", "4-text": "failed",
                      "5-lost": "failed"}  # fmt: skip
    assert "did you mean train.epochs" in (place / "failed" / "2-key.log").read_text()
    assert "expected settings" in rows["4-text"]["error"]
    assert "start the queue with --on" in rows["5-lost"]["error"]
    assert rows["3-other"]["epochs"] == 2
    assert names(place / "done") == ["1-good.log", "1-good.yaml", "3-other.json", "3-other.log"]
    assert names(place / "queue") == ["notes.txt"]
    assert names(place / "running") == []
    info = json.loads((place / "runs" / "3-other" / "best" / "model.json").read_text())
    assert info["model"]["head"] == "single"  # as the recipe says
    table = pl.read_csv(place / "results.csv")
    assert dict(table.select("name", "state").iter_rows()) == states
    # a file put there again keeps what is known of the others
    (place / "failed" / "5-lost.yaml").replace(place / "queue" / "5-lost.yaml")
    result = CliRunner().invoke(app, ["queue", str(place), "--on", str(manifest)])
    assert pl.read_csv(place / "results.csv").filter(pl.col("state") == "done").height == 3


def test_files_that_come_later_are_taken(manifest: Path, tmp_path: Path) -> None:
    place = tmp_path / "q"
    job(place / "queue" / "first.yaml", tmp_path, "train.epochs=1", manifest=str(manifest))

    def told(result: Result) -> None:
        if result.name == "first" and result.state == "running":
            job(place / "queue" / "later.yaml", tmp_path, "train.epochs=1", manifest=str(manifest))

    results = Queue(place, None, [""], told).work(watch=False)
    assert [(result.name, result.state) for result in results] == [
        ("first", "done"), ("later", "done")
    ]  # fmt: skip


def test_names_and_tables_that_would_be_mixed_up_are_refused(
    manifest: Path, tmp_path: Path
) -> None:
    place = tmp_path / "q"
    job(place / "queue" / "one.yaml", tmp_path, "train.epochs=1", manifest=str(manifest))
    (place / "queue" / "folder.yaml").mkdir()
    Queue(place, None, [""], lambda _: None).work(watch=False)
    job(place / "queue" / "one.json", tmp_path, "train.epochs=1", manifest=str(manifest))
    job(place / "queue" / "two.yaml", tmp_path, "train.epoch=1", "optim.l=1")
    results = Queue(place, manifest, [""], lambda _: None).work(watch=False)
    found = {result.name: result for result in results}
    assert [found[name].state for name in ("one", "one.json", "two")] == [
        "done",
        "failed",
        "failed",
    ]
    assert "done/one.yaml has the same name" in found["one.json"].error
    assert names(place / "failed") == ["one.json", "two.log", "two.yaml"]
    assert "train.epoch" in found["two"].error
    assert "optim.l" in found["two"].error
    (place / "results.csv").write_text("name,state\none,done\n")
    with pytest.raises(RunError, match=r"results\.csv is damaged"):
        Queue(place, None, [""], lambda _: None).work(watch=False)


@pytest.mark.parametrize("devices", ["0,3", ""])
def test_each_worker_has_a_device(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, devices: str
) -> None:
    both, seen = threading.Barrier(2, timeout=60), []

    def stand_in(_words: Any, _log: Path, environment: Any, *_: Any) -> dict[str, Any]:
        both.wait()  # so that each worker has one of the two
        seen.append(environment)
        return {"best_score": 0.5, "metrics": {}, "epochs": 1}

    monkeypatch.setattr(queue, "run_command", stand_in)
    for name in ("one", "two"):
        job(tmp_path / "q" / "queue" / f"{name}.yaml", tmp_path, manifest=str(manifest))
    words = ["queue", str(tmp_path / "q"), "--workers", "2"]
    result = CliRunner().invoke(app, [*words, *(["--devices", devices] if devices else [])])
    assert result.exit_code == 0, result.output + repr(result.exception)
    wanted = [{"CUDA_VISIBLE_DEVICES": name} for name in devices.split(",")]
    assert sorted(seen, key=str) == (wanted if devices else [None, None])


def test_the_oldest_file_comes_first_and_what_was_begun_before_it(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def stand_in(words: Any, *_: Any) -> dict[str, Any]:
        seen.append(Path(words[words.index("--out") + 1]).name)
        return {"best_score": 0.5, "metrics": {}, "epochs": 1}

    monkeypatch.setattr(queue, "run_command", stand_in)
    for folder, name, age in (
        ("queue", "a", 10), ("queue", "b", 30), ("queue", "c", 20), ("running", "d", 0)
    ):  # fmt: skip
        path = job(tmp_path / "q" / folder / f"{name}.yaml", tmp_path, manifest=str(manifest))
        os.utime(path, (time.time() - age,) * 2)
    Queue(tmp_path / "q", None, [""], lambda _: None).work(watch=False)
    assert seen == ["d", "b", "c", "a"]


def test_one_queue_works_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "q").mkdir()
    with (
        FileLock(tmp_path / "q" / ".lock"),
        pytest.raises(StorageError, match="q is being written by another process"),
    ):
        Queue(tmp_path / "q", None, [""], lambda _: None).work(watch=False)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_queue_goes_on_where_it_was(
    manifest: Path, tmp_path: Path, how: signal.Signals
) -> None:
    place, run = tmp_path / "q", tmp_path / "q" / "runs" / "long"
    job(place / "queue" / "long.yaml", tmp_path, "train.epochs=400", "train.patience=0",
        "track.pictures=0", "track.mistakes=0", manifest=str(manifest))  # fmt: skip
    words = [sys.executable, "-m", "maskwise", "queue", str(place)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE)
    wait_for((run / "last" / "training.safetensors").is_file)
    noted = json.loads((place / "running" / ".long.process").read_text())
    process.send_signal(how)
    process.communicate(timeout=60)
    assert names(place / "running") == ["long.log", "long.yaml"]
    left = psutil.pid_exists(noted["pid"])
    assert left == (how == signal.SIGKILL)
    before = len((run / "metrics.jsonl").read_text().splitlines())
    assert before < 400
    # less to do, or the test would take minutes: the rest is let go
    settings = run / "settings.yaml"
    for file in (settings, place / "running" / "long.yaml"):
        file.write_text(file.read_text().replace("epochs: 400", f"epochs: {before + 60}"))
    again = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert again.returncode == 0, again.stderr
    assert not psutil.pid_exists(noted["pid"])
    assert names(place / "done") == ["long.log", "long.yaml"]
    figures = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in figures] == list(range(1, before + 61))
