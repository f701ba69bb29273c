"""Work shared out to processes, and what it means when one is killed."""

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Final, TypeVar

from maskwise.cores import core_count
from maskwise.errors import WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")
_LOG: Final = logging.getLogger(__name__)
_MAIN: Final = "__main__"
_HIDING: Final = threading.Lock()


def map_in_order(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    chunk: int,
    few: int,
) -> Iterator[Result]:
    """Yield the result of each item in order, from `workers` processes (0: from this one).

    `chunk` items are sent at a time; up to `few` are done here, before processes have started.

    Raises:
        WorkerError: a process was killed.
    """
    if not workers or len(items) <= few:
        yield from map(function, items)
        return
    with worker_pool(workers) as pool:
        yield from pool.map(function, items, chunksize=chunk)


def process_count(workers: int) -> int:
    """Return how many processes a number of workers means; below 0 is one a core."""
    return core_count() if workers < 0 else workers


class _Worker(SpawnProcess):
    """A fresh process that does not import the user's script.

    What runs in it is part of Maskwise, so a script needs no `if __name__ == "__main__":`.
    """

    def start(self) -> None:
        with _HIDING:
            main = sys.modules[_MAIN]
            sys.modules[_MAIN] = ModuleType(_MAIN)
            try:
                super().start()
            finally:
                sys.modules[_MAIN] = main


class _Workers(SpawnContext):
    """Starts processes afresh: forking would copy one that runs threads."""

    Process = _Worker


@contextmanager
def worker_pool(workers: int) -> Iterator[Executor]:
    """Give a pool of fresh processes; when the block is left, what still waits is dropped.

    Where no processes can be started (a daemon of a task queue, a system without semaphores) it is
    of threads, which is logged once.

    Raises:
        WorkerError: a process was killed.
    """
    pool = _process_pool(workers) or ThreadPoolExecutor(workers)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise WorkerError(
            f"one of {workers} worker processes was killed, most often for lack of memory: use "
            "fewer (--workers, or cache.workers), then run the command again"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _process_pool(workers: int) -> ProcessPoolExecutor | None:
    """Return a pool whose first process runs, or None where none can be started."""
    pool = None
    try:
        pool = ProcessPoolExecutor(workers, mp_context=_Workers())
        pool.submit(int).result()
    except (AssertionError, OSError, RuntimeError) as error:
        if pool:
            pool.shutdown(wait=False, cancel_futures=True)
        _tell_of_threads(str(error) or type(error).__name__)
        return None
    return pool


@cache
def _tell_of_threads(reason: str) -> None:
    _LOG.warning("no worker processes can be started here (%s): threads do their work", reason)
