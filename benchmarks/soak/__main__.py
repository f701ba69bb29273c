"""Attacks a service and prints what each attack does to it.

    python -m benchmarks.soak [--only WORD]

The service is started with its defaults and a key; each attack meets a fresh one. The columns: what
was sent, the most memory of the process, and how long somebody else waited for a word from it, at
most. (An attacker on the same two cores slows everything down a little.)
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load.__main__ import free_port, started
from benchmarks.soak.attacks import attacks
from benchmarks.soak.sockets import Target
from benchmarks.soak.watching import Watched
from maskwise.serving.keys import add_key


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


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", metavar="WORD", help="attacks whose names have it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys.txt"
        key = add_key(keys, "soak")
        print(f"{'attack':<32}{'sent MB':>9}{'memory MB':>11}{'waited s':>10}")
        for name, attack in attacks():
            if options.only not in name:
                continue
            with attacked(keys, key) as (target, watched):
                attack(target)
                time.sleep(0.5)
            row = f"{target.sent / 1e6:>9.1f}{watched.megabytes:>11.0f}{watched.waited:>10.2f}"
            print(f"{name:<32}{row}", flush=True)


if __name__ == "__main__":
    main()
