"""Epochs against imbalance: how often each class comes, and that seed and epoch decide it."""

import numpy as np
import pytest

from maskwise.config import TrainSettings
from maskwise.data.sampling import Sampler
from maskwise.labels import UNKNOWN
from maskwise.transforms.augment.numbers import photo_rows

COUNT = 4000
SOURCES = np.array(["street", "studio", "web", "web"] * 1250, dtype=object)
ROWS = np.arange(100, 100 + COUNT)
GROUPS = np.full(5000, 0)
GROUPS[100:400] = 2
GROUPS[400:1600] = 1
CODES = {
    "mask": np.zeros(5000, dtype=np.int64),
    "gender": np.arange(5000) % 2,
    "age_group": GROUPS,
}


def sampler(**settings: object) -> Sampler:
    return Sampler(TrainSettings(**settings), CODES, SOURCES, ROWS)  # type: ignore[arg-type]


def shares(rows: np.ndarray) -> np.ndarray:
    return np.bincount(GROUPS[rows], minlength=3) / len(rows)


def test_every_photo_comes_once() -> None:
    assert np.array_equal(sampler().epoch_rows(3), ROWS)


def test_classes_come_evenly_or_by_the_root_of_their_counts() -> None:
    even = sampler(sampling="even", sample_by="age_group").epoch_rows(0)
    even = photo_rows(even)
    assert len(even) == COUNT
    assert set(even) <= set(ROWS)
    assert shares(even) == pytest.approx([1 / 3] * 3, abs=0.03)
    root = np.sqrt([2500, 1200, 300])
    square = photo_rows(sampler(sampling="sqrt", sample_by="age_group").epoch_rows(0))
    assert shares(square) == pytest.approx(root / root.sum(), abs=0.03)
    joint = photo_rows(sampler(sampling="even").epoch_rows(0))
    classes = CODES["gender"][joint] * 3 + GROUPS[joint]
    assert np.bincount(classes) / COUNT == pytest.approx([1 / 6] * 6, abs=0.03)


def test_draws_follow_from_seed_and_epoch() -> None:
    first = sampler(sampling="even").epoch_rows(0)
    assert np.array_equal(first, sampler(sampling="even").epoch_rows(0))
    assert not np.array_equal(first, sampler(sampling="even").epoch_rows(1))
    assert not np.array_equal(first, sampler(sampling="even", seed=1).epoch_rows(0))


def test_a_photo_without_the_label_comes_as_often_as_the_mean() -> None:
    codes = {**CODES, "age_group": np.where(np.arange(5000) % 4 == 0, UNKNOWN, GROUPS)}
    settings = TrainSettings(sampling="even", sample_by="age_group")
    drawn = photo_rows(Sampler(settings, codes, SOURCES, ROWS).epoch_rows(0))
    assert (codes["age_group"][drawn] == UNKNOWN).mean() == pytest.approx(0.25, abs=0.03)


def test_labels_are_repeated_by_the_most_of_their_counts() -> None:
    numbered = sampler(repeat={"old": 3, "female": 2}).epoch_rows(0)
    assert len(set(numbered)) == len(numbered)  # so that each copy is changed in its own way
    rows = photo_rows(numbered)
    times = np.bincount(rows, minlength=5000)[ROWS]
    old, female = GROUPS[ROWS] == 2, CODES["gender"][ROWS] == 1
    assert (times[old] == 3).all()
    assert (times[female & ~old] == 2).all()
    assert (times[~female & ~old] == 1).all()


def test_sets_are_repeated_unless_a_label_is_more_often() -> None:
    numbered = sampler(repeat={"old": 3}, repeat_sources={"street": 2, "studio": 5}).epoch_rows(0)
    times = np.bincount(photo_rows(numbered), minlength=5000)[ROWS]
    old, source = GROUPS[ROWS] == 2, SOURCES[ROWS]
    assert (times[source == "studio"] == 5).all()
    assert (times[(source == "street") & old] == 3).all()
    assert (times[(source == "street") & ~old] == 2).all()
    assert (times[(source == "web") & ~old] == 1).all()


def test_short_epochs_take_turns() -> None:
    short = sampler(epoch_photos=1500)
    assert len(short) == 1500
    rows = photo_rows(np.concatenate([short.epoch_rows(epoch) for epoch in range(8)]))
    assert np.bincount(rows, minlength=5000)[ROWS].tolist() == [3] * COUNT
    assert np.array_equal(np.sort(rows[:COUNT]), ROWS)
    assert not np.array_equal(rows[:COUNT], rows[COUNT : 2 * COUNT])
    long = photo_rows(sampler(epoch_photos=6000).epoch_rows(0))
    assert np.bincount(long, minlength=5000)[ROWS].min() == 1
    assert len(sampler(epoch_photos=500, sampling="even").epoch_rows(0)) == 500


def drawn_shares(values: np.ndarray) -> np.ndarray:
    """Return the share of each value, by value."""
    return np.unique(values, return_counts=True)[1] / len(values)


def test_sources_are_drawn_evenly() -> None:
    drawn = photo_rows(sampler(sampling="even", sample_by="source").epoch_rows(0))
    names = np.unique(SOURCES[ROWS])
    assert drawn_shares(SOURCES[drawn]) == pytest.approx([1 / len(names)] * len(names), abs=0.03)
    root = photo_rows(sampler(sampling="sqrt", sample_by="source").epoch_rows(0))
    counts = np.unique(SOURCES[ROWS], return_counts=True)[1] ** 0.5
    assert drawn_shares(SOURCES[root]) == pytest.approx(counts / counts.sum(), abs=0.03)


@pytest.mark.parametrize("tasks", [("age_group",), ("gender", "age_group")])
def test_classes_are_drawn_evenly_within_sources(tasks: tuple[str, ...]) -> None:
    codes = {**CODES, "age_group": CODES["age_group"].copy()}
    codes["age_group"][SOURCES == "web"] = UNKNOWN  # a class of its own
    settings = TrainSettings(sampling="even", sample_by="_".join(("source", *tasks)))  # type: ignore[arg-type]
    drawn = photo_rows(Sampler(settings, codes, SOURCES, ROWS).epoch_rows(0))
    names = np.array(
        [f"{SOURCES[row]} {[int(codes[task][row]) for task in tasks]}" for row in range(5000)]
    )
    cells = set(names[ROWS])
    assert {"web [-1]", "web [0, -1]"} & cells
    found = drawn_shares(names[drawn])
    assert found == pytest.approx([1 / len(cells)] * len(cells), abs=0.03)


def test_repeats_multiply_the_chance_of_what_is_drawn() -> None:
    settings: dict[str, object] = {"sampling": "even", "epoch_photos": 9000}
    repeated = {"repeat_sources": {"studio": 3}, "sample_by": "source"}
    drawn = photo_rows(sampler(**settings, **repeated).epoch_rows(0))
    assert drawn_shares(SOURCES[drawn]) == pytest.approx([1 / 5, 3 / 5, 1 / 5], abs=0.02)
    old = photo_rows(sampler(**settings, sample_by="age_group", repeat={"old": 2}).epoch_rows(0))
    assert shares(old) == pytest.approx([1 / 4, 1 / 4, 2 / 4], abs=0.02)
