"""Attacks a service, overloads it, and kills what is at work; prints what became of it.

    python -m benchmarks.soak [--only WORD] [--kills 8]

A service is started with its defaults and a key; each attack meets a fresh one. The columns: what
was sent, the most memory of the process, and how long somebody else waited for a word from it, at
most. (An attacker on the same two cores slows everything down a little.) Under load, clients ask
again as soon as they are answered; the columns are photos a second, and the seconds in which 99 of
100 answers, and refusals, came. Last, trainings and a labelling page are killed at random moments.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.load.__main__ import free_port, started
from benchmarks.soak.attacks import attacks
from benchmarks.soak.kills import drawn_people, kept_decisions, resumed_trainings
from benchmarks.soak.overload import load
from benchmarks.soak.sockets import Target, post
from benchmarks.soak.watching import Watched
from maskwise.serving.keys import add_key

_CLIENTS: Final = (8, 64, 640)
_ROUNDS: Final = 3
_SECONDS: Final = 6.0


@contextmanager
def attacked(keys: Path, key: str) -> Iterator[tuple[Target, Watched]]:
    """Start a service that somebody else uses, too."""
    port = free_port()
    command = [sys.executable, "-m", "maskwise", "serve", "--port", str(port), "--keys", str(keys)]
    with (
        started(command, port, "/health/ready") as process,
        Watched(process, port) as watched,
    ):
        time.sleep(0.5)
        yield Target(port, key), watched


def attack_all(keys: Path, key: str, only: str) -> None:
    """Print a row for each attack."""
    print(f"{'attack':<32}{'sent MB':>9}{'memory MB':>11}{'waited s':>10}")
    for name, attack in attacks():
        if only not in name:
            continue
        with attacked(keys, key) as (target, watched):
            attack(target)
            time.sleep(0.5)
        row = f"{target.sent / 1e6:>9.1f}{watched.megabytes:>11.0f}{watched.waited:>10.2f}"
        print(f"{name:<32}{row}", flush=True)


def overload(keys: Path, key: str, photo: Path) -> None:
    """Print a row for each number of clients: medians of several rounds by turns."""
    print(f"{'load':<32}{'photos/s':>9}{'answered s':>11}{'refused s':>10}")
    request = post(photo.read_bytes(), key=key)
    with attacked(keys, key) as (target, _):
        asyncio.run(load(target.port, request, 8, 2.0))
        rounds: dict[int, list[tuple[float, ...]]] = {clients: [] for clients in _CLIENTS}
        for _ in range(_ROUNDS):
            for clients, found in rounds.items():
                found.append(asyncio.run(load(target.port, request, clients, _SECONDS)))
    for clients, found in rounds.items():
        rate, answered, refused = (
            sorted(column)[_ROUNDS // 2] for column in zip(*found, strict=True)
        )
        print(f"{f'{clients} clients':<32}{rate:>9.1f}{answered:>11.2f}{refused:>10.2f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", metavar="WORD", help="attacks whose names have it")
    parser.add_argument("--kills", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = add_key(folder / "keys.txt", "soak")
        attack_all(folder / "keys.txt", key, options.only)
        if options.only:
            return
        manifest = drawn_people(folder)
        photo = next((folder / "samples").rglob("normal.*"))
        overload(folder / "keys.txt", key, photo)
        killed, same = resumed_trainings(manifest, folder, options.kills)
        print(f"trainings killed and resumed: {killed}, with the same weights: {same}", flush=True)
        made, kept = kept_decisions(manifest, folder, options.kills)
        print(f"decisions acknowledged by a page that was killed: {made}, kept: {kept}")


if __name__ == "__main__":
    main()
