"""Processes that are killed at any moment, and what is left of their work."""

import hashlib
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

from benchmarks.load.__main__ import free_port

_TRAINING: Final = (
    "model.backbone=test_efficientnet", "model.pretrained=none", "preprocess.height=32",
    "preprocess.width=32", "preprocess.detector=none", "cache.workers=0", "train.batch_size=8",
    "train.device=cpu", "train.epochs=3",
)  # fmt: skip
_WEIGHTS: Final = Path("last") / "model.safetensors"


def _command(*words: object) -> list[str]:
    return [sys.executable, "-m", "maskwise", *map(str, words)]


def _quietly(*words: object) -> None:
    subprocess.run(_command(*words), check=True, capture_output=True)


def drawn_people(folder: Path) -> Path:
    """Return a manifest with folds of drawn people."""
    samples, manifest = folder / "samples", folder / "manifest.csv"
    _quietly("data", "samples", samples, "--people", 12, "--eval-people", 1)
    _quietly("data", "import", samples / "train", "--out", manifest)
    _quietly("data", "split", manifest, "--val", 0.25)
    return manifest


def resumed_trainings(manifest: Path, folder: Path, kills: int, seed: int = 0) -> tuple[int, int]:
    """Kill trainings at random moments until each was killed once, and resume them.

    Returns:
        How many were killed, and how many of these end with the weights of one that was not.
    """
    words = ("train", manifest, *_TRAINING, f"cache.folder={folder / 'cache'}")
    began = time.monotonic()
    _quietly(*words, "--out", folder / "whole")
    seconds = time.monotonic() - began
    whole = _digest(folder / "whole" / _WEIGHTS)
    draw, same = random.Random(seed), 0
    for number in range(kills):
        run = folder / f"killed-{number}"
        _kill_after(draw.uniform(0.1, 1.0) * seconds, [*words, "--out", run])
        resumed = ["--resume"] if (run / "settings.yaml").exists() else []
        _quietly(*words, "--out", run, *resumed)
        same += _digest(run / _WEIGHTS) == whole
    return kills, same


def _kill_after(seconds: float, words: Sequence[object]) -> None:
    with subprocess.Popen(
        _command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def kept_decisions(manifest: Path, folder: Path, kills: int, seed: int = 0) -> tuple[int, int]:
    """Decide about photos on a labelling page that is killed at random moments.

    Returns:
        How many decisions were acknowledged, and how many of these are still there at the end.
    """
    database, draw = folder / "labels.db", random.Random(seed)
    acknowledged: list[int] = []
    for _ in range(kills):
        port = free_port()
        with _label_page(manifest, database, port) as process:
            killing = threading.Timer(draw.uniform(0.05, 0.6), process.kill)
            killing.start()
            with suppress(OSError, ValueError):  # the page is gone
                while photos := _asked(port, "next?who=soak&count=50", {}):
                    for photo in photos:
                        acknowledged.append(_decide(port, photo))
            killing.join()
    port = free_port()
    with _label_page(manifest, database, port) as process:
        states = [_asked(port, f"photos/{one}?who=soak", None)["state"] for one in acknowledged]
        process.kill()
    return len(acknowledged), states.count("done")


def _label_page(manifest: Path, database: Path, port: int) -> "subprocess.Popen[bytes]":
    words = ("label", "page", manifest, "--database", database, "--port", port)
    process = subprocess.Popen(_command(*words), stdout=subprocess.DEVNULL)
    for _ in range(600):
        with suppress(OSError):
            urlopen(f"http://127.0.0.1:{port}/api/about").close()
            break
        time.sleep(0.05)
    return process


def _decide(port: int, photo: dict[str, Any]) -> int:
    number: int = photo["id"]
    decision = {"photo": number, "version": photo["version"], "action": "accept"}
    _asked(port, "decisions", {"who": "soak", "decisions": [decision]})
    return number


def _asked(port: int, path: str, body: dict[str, Any] | None) -> Any:
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(f"http://127.0.0.1:{port}/api/{path}", content, headers)) as answer:
        return json.load(answer)
