"""Batches: every photo once, whatever the number of processes; and labels for training."""

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
import torch

from maskwise.config import LabelSettings
from maskwise.data.batches import (
    DeviceFrames,
    epoch_batches,
    epoch_parts,
    epoch_steps,
    read_ahead,
)
from maskwise.data.frames import Frames
from maskwise.data.manifest import manifest_from_rows
from maskwise.data.targets import class_codes, group_mean_ages, task_codes, training_codes
from maskwise.labels import UNKNOWN


@pytest.mark.parametrize(("count", "size"), [(37, 8), (8, 8), (5, 8), (64, 1), (1000, 64)])
def test_an_epoch_holds_every_photo_once_in_even_batches(count: int, size: int) -> None:
    rows = np.arange(100, 100 + count)
    batches = epoch_batches(rows, size, seed=1, epoch=2)
    assert len(batches) == epoch_steps(count, size)
    assert sorted(np.concatenate(batches)) == rows.tolist()
    sizes = {len(batch) for batch in batches}
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    assert (
        not np.array_equal(np.concatenate(batches), np.sort(np.concatenate(batches))) or count < 3
    )


def test_order_follows_from_seed_and_epoch() -> None:
    rows = np.arange(50)
    one = epoch_batches(rows, 50, 0, 0)[0]
    assert np.array_equal(one, epoch_batches(rows, 50, 0, 0)[0])
    assert not np.array_equal(one, epoch_batches(rows, 50, 0, 1)[0])
    assert not np.array_equal(one, epoch_batches(rows, 50, 1, 0)[0])


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_parts_of_all_processes_make_the_batch(processes: int, accumulate: int) -> None:
    batches = epoch_batches(np.arange(37), 12, 0, 0)
    parts = [epoch_parts(batches, rank, processes, accumulate) for rank in range(processes)]
    for step, batch in enumerate(batches):
        pieces = [piece for each in parts for piece in each[step].rows]
        assert sorted(np.concatenate(pieces)) == sorted(batch)
        assert all(len(each[step].rows) == accumulate for each in parts)
        assert all(len(piece) for piece in pieces)
    assert [part.step for part in epoch_parts(batches, 0, 1, 1, start=2)] == [2, 3]


def test_reading_ahead_keeps_order_and_hands_errors_over() -> None:
    assert list(read_ahead(iter(range(1, 20)))) == list(range(1, 20))

    def failing() -> Iterator[int]:
        yield from (1, 2, 3, 4, 5)
        raise ValueError("the sixth")

    items = read_ahead(failing())
    assert [next(items) for _ in range(5)] == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="the sixth"):
        next(items)


class _Memory:
    def __init__(self, frames: Frames) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def batches(self, rows: list[np.ndarray]) -> Iterator[Frames]:
        for batch in rows:
            yield self.frames[batch]


@pytest.mark.parametrize("resident", [False, True])
def test_device_frames_equal_their_source(resident: bool) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (30, 4, 4, 3), dtype=np.uint8)
    used = np.array([3, 29, 7, 12, 5])
    reader = DeviceFrames(_Memory(frames), used, torch.device("cpu"), 1e9)
    if resident:  # what an accelerator gets
        reader._keep(used, 1e9)
        assert reader._resident is not None
    batches = [np.array([7, 3]), np.array([29])]
    for rows, found in zip(batches, reader.batches(batches), strict=True):
        assert np.array_equal(found.numpy(), frames[rows])
    if resident:
        small = DeviceFrames(_Memory(frames), used, torch.device("cpu"), 1)
        small._keep(used, 1)
        assert small._resident is None


def ages() -> pl.DataFrame:
    rows = [{"photo": str(age), "person": str(age), "age": age, "source": "a", "mask": "wear",
             "gender": "male"} for age in (18, 29, 30, 57, 58, 59, 60)]  # fmt: skip
    rows.append({"photo": "x", "person": "x", "age_group": "old", "source": "a"})
    return manifest_from_rows(rows)


def test_boundaries_of_training_and_of_the_task() -> None:
    labels = LabelSettings(train_boundaries=(29, 58), drop_ages=((57, 57), (59, 59)))
    assert task_codes(ages(), labels)["age_group"].tolist() == [0, 0, 1, 1, 1, 1, 2, 2]
    trained = training_codes(ages(), labels)["age_group"].tolist()
    assert trained == [0, 1, 1, UNKNOWN, 2, UNKNOWN, 2, 2]
    # a dropped age still teaches mask and gender
    assert training_codes(ages(), labels)["mask"].tolist() == [0] * 7 + [UNKNOWN]
    classes = class_codes(task_codes(ages(), labels)).tolist()
    assert classes == [0, 0, 1, 1, 1, 1, 2, UNKNOWN]


def test_mean_ages_of_the_groups() -> None:
    labels = LabelSettings()
    assert group_mean_ages(ages(), labels) == [23.5, 51.0, 60.0]
    assert group_mean_ages(ages()[:0], labels) == [22.5, 45.0, 68.0]
    other = LabelSettings(train_boundaries=(30, 58), drop_ages=((57, 57), (59, 59)))
    assert group_mean_ages(ages(), other) == [23.5, 30.0, 59.0]
