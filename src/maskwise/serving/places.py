"""How many cameras may be watched, and how many may be asked who they are."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from maskwise.serving.problems import busy


class Places:
    """So many cameras may be watched at a time."""

    def __init__(self, most: int) -> None:
        self._free = most

    def check(self) -> None:
        """Check that there is a place.

        Raises:
            ProblemError: There is none; try again later.
        """
        if not self._free:
            raise busy(5, "too many cameras are watched")

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a place for a while.

        Raises:
            ProblemError: There is none; try again later.
        """
        self.check()
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


class WaitingRoom:
    """So many may wait, so long; of more, those who have waited longest have to go.

    So a camera that shows its key at once gets in, however many others never show one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[asyncio.Timeout, None] = {}

    @asynccontextmanager
    async def entered(self, seconds: float) -> AsyncIterator[None]:
        """Wait here for a while.

        Raises:
            TimeoutError: It took too long, or too many others came.
        """
        if len(self._waiting) >= self._most:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.reschedule(asyncio.get_running_loop().time())
        async with asyncio.timeout(seconds) as limit:
            self._waiting[limit] = None
            try:
                yield
            finally:
                self._waiting.pop(limit, None)
