"""What an attack does to a service: its memory, and how long others wait for it."""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self
from urllib.request import urlopen

import psutil

_EVERY: Final = 0.02


@dataclass
class Watched:
    """The worst that was seen while the block lasted."""

    process: psutil.Process
    port: int
    megabytes: float = 0.0
    """The most memory of the process."""
    waited: float = 0.0
    """Seconds that another client waited for a word from the event loop, at most."""

    def __enter__(self) -> Self:
        self._done = threading.Event()
        self._threads = [threading.Thread(target=one) for one in (self._weigh, self._ask)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _weigh(self) -> None:
        while not self._done.wait(_EVERY):
            self.megabytes = max(self.megabytes, self.process.memory_info().rss / 1e6)

    def _ask(self) -> None:
        while not self._done.wait(_EVERY):
            began = time.monotonic()
            with suppress(OSError):  # a refusal is an answer, too
                urlopen(f"http://127.0.0.1:{self.port}/health/live", timeout=60).close()
            self.waited = max(self.waited, time.monotonic() - began)
