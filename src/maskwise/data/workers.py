"""Work shared out to processes, and what it means when one is killed."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

from maskwise.cores import core_count
from maskwise.errors import WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")


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


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of fresh processes; when the block is left, what still waits is dropped.

    Raises:
        WorkerError: a process was killed.
    """
    # forking would copy a process that runs threads
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield pool
    except BrokenProcessPool as error:
        raise WorkerError(
            f"one of {workers} worker processes was killed, most often for lack of memory: use "
            "fewer (--workers, or cache.workers), then run the command again"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
