"""The people of the twin, in the competition's proportions."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from maskwise.cores import core_count
from maskwise.data.duplicates import find_twins, fingerprint_photos
from maskwise.data.options import ImportOptions
from maskwise.data.sources import import_source
from maskwise.data.split import join_people
from maskwise.errors import ManifestError
from maskwise.labels import age_group_of

PEOPLE: Final = 4500
EVAL_SHARE: Final = 0.4
GENDERS: Final = {"male": 1.0, "female": 1.6}
AGE_GROUPS: Final = {"young": 7.0, "middle": 6.0, "old": 1.0}
YOUNGEST, OLDEST = 18, 60
RACE: Final = "Asian"


@dataclass(frozen=True)
class Person:
    """One person of the twin."""

    number: int
    gender: str
    age: int
    """As written: at most 60."""
    photo: str
    evaluates: bool

    @property
    def folder(self) -> str:
        """The folder of a training person."""
        return f"{self.number:06d}_{self.gender}_{RACE}_{self.age}"


def adults(data: Path) -> pl.DataFrame:
    """Return the people of 18 and over of known gender and age, one photo each, without twins."""
    frame = import_source(data, ImportOptions(data.resolve().name))
    frame = frame.filter(pl.col("age") >= YOUNGEST, pl.col("gender").is_not_null())
    prints = fingerprint_photos(frame["photo"].to_list(), core_count())
    groups = join_people(frame["person"].to_list(), find_twins(prints))
    first = np.flatnonzero(np.array(groups) == np.arange(len(groups)))
    return frame[first]


def choose_people(frame: pl.DataFrame, count: int, seed: int) -> list[Person]:
    """Return at most `count` people in the competition's proportions, drawn by the seed.

    If a cell of gender and age group has too few people, all cells shrink alike.
    """
    group = frame["age"].map_elements(age_group_of, return_dtype=pl.String)
    frame = frame.with_columns(age_group=group)
    share = {
        (gender, group): one * other / sum(GENDERS.values()) / sum(AGE_GROUPS.values())
        for gender, one in GENDERS.items()
        for group, other in AGE_GROUPS.items()
    }
    cells = {
        key: frame.filter(pl.col("gender") == key[0], pl.col("age_group") == key[1])
        for key in share
    }
    empty = [f"{gender} {group}" for (gender, group), cell in cells.items() if cell.is_empty()]
    if empty:
        raise ManifestError(
            f"nobody is {', nobody '.join(empty)}: the twin needs people of 18 and over, with ages "
            "in years, of every gender and age group"
        )
    total = min(count, *(int(len(cells[key]) / part) for key, part in share.items()))
    drawn: list[tuple[bytes, Person]] = []
    for key, part in share.items():
        ranked = sorted(
            cells[key].iter_rows(named=True), key=lambda row: _rank(seed, Path(row["photo"]).name)
        )
        wanted = round(total * part)
        for place, row in enumerate(ranked[:wanted]):
            age = min(row["age"], OLDEST)
            evaluates = place < round(wanted * EVAL_SHARE)
            person = Person(0, key[0], age, row["photo"], evaluates)
            drawn.append((_rank(seed + 1, Path(row["photo"]).name), person))
    ordered = [person for _, person in sorted(drawn, key=lambda pair: pair[0])]
    return [
        Person(number, one.gender, one.age, one.photo, one.evaluates)
        for number, one in enumerate(ordered, start=1)
    ]


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode()).digest()
