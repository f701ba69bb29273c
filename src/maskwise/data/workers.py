"""Worker processes: how many, and what it means when one is killed."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context

from maskwise.errors import WorkerError


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
            "fewer (--workers, or data.workers), then run the command again"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
