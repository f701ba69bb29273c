"""Which photos make a batch, which process computes which part, and the way to the device.

The order of an epoch depends on seed and epoch alone, and every photo stands in it once. A step's
photos are cut into equal parts, one for each process and, inside it, one for each accumulated
part; so the same step sees the same photos whatever the number of processes.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from maskwise.data.frames import FrameSource

Rows = NDArray[np.int64]
_AHEAD: Final = 3
_T = TypeVar("_T")


def epoch_steps(count: int, batch_size: int) -> int:
    """Return the steps of an epoch over `count` photos."""
    return max(1, -(-count // batch_size))


def epoch_batches(rows: Rows, batch_size: int, seed: int, epoch: int) -> list[Rows]:
    """Return the batches of an epoch: all `rows`, shuffled, in batches equal to within one photo.

    Equal batches leave no small last one, whose statistics and gradient would be noisy.
    """
    order = np.random.default_rng([seed, epoch]).permutation(rows)
    return np.array_split(order, epoch_steps(len(rows), batch_size))


@dataclass(frozen=True)
class Part:
    """What one process computes of one step."""

    step: int
    rows: list[Rows]
    """Row numbers of each accumulated part."""
    batch: Rows
    """Row numbers of the whole step, over all processes."""


def epoch_parts(
    batches: Sequence[Rows], rank: int, processes: int, accumulate: int, start: int = 0
) -> list[Part]:
    """Return this process's part of every batch from number `start` on."""
    return [
        Part(
            step,
            np.array_split(np.array_split(batch, processes)[rank], accumulate),
            batch,
        )
        for step, batch in enumerate(batches)
        if step >= start
    ]


class DeviceFrames:
    """Reads batches of frames as uint8 tensors (n, height, width, 3) on the device.

    On an accelerator, a set that fits the limit is copied there once.
    """

    def __init__(
        self, frames: FrameSource, rows: Rows, device: torch.device, limit_bytes: float
    ) -> None:
        self._frames = frames
        self._device = device
        self._resident: torch.Tensor | None = None
        self._position: Rows | None = None
        if device.type != "cpu" and len(rows):
            self._keep(rows, limit_bytes)

    def _keep(self, rows: Rows, limit_bytes: float) -> None:
        chunks = np.array_split(rows, max(1, len(rows) // 256))
        parts: list[torch.Tensor] = []
        for chunk in self._frames.batches(chunks):
            if not parts and chunk[0].nbytes * len(rows) > limit_bytes:
                return
            parts.append(torch.from_numpy(chunk).to(self._device))
        self._resident = torch.cat(parts)
        self._position = np.full(int(rows.max()) + 1, -1, dtype=np.int64)
        self._position[rows] = np.arange(len(rows))

    def batches(self, rows: Iterable[Rows]) -> Iterator[torch.Tensor]:
        """Yield the frames for each array of row numbers, read a few batches ahead."""
        if self._resident is not None and self._position is not None:
            for batch in rows:
                index = torch.from_numpy(self._position[batch]).to(self._device)
                yield self._resident[index]
            return
        for frames in read_ahead(self._frames.batches(rows)):
            tensor = torch.from_numpy(frames)
            if self._device.type == "cuda":
                tensor = tensor.pin_memory()
            yield tensor.to(self._device, non_blocking=True)


def read_ahead(items: Iterator[_T]) -> Iterator[_T]:
    """Run an iterator in a thread, a few items ahead; an error is raised where it would be."""
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(next, items, None) for _ in range(_AHEAD))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(thread.submit(next, items, None))
            yield item
