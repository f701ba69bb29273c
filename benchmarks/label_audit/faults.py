"""Puts faults into labels, and counts which of them were found.

Of 3 % of the people each: two photos with different mask labels change places, a photo gets another
mask label, all photos get the other gender, all photos another age group.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from maskwise.labels import TASKS

KINDS: Final = ("swap", "mask", "gender", "age_group")
SHARE: Final = 0.03
"""Of the people, for each kind of fault."""
PRECISION: Final = 0.6
_AGES: Final = {"young": (18, 27), "middle": (33, 56), "old": (63, 80)}
Row = dict[str, object]


@dataclass(frozen=True)
class Score:
    """How well one kind of fault is found."""

    faults: int
    findings: int
    recall: float
    """Of all findings of the kind."""
    precision: float
    best_recall: float
    """At a precision of at least `PRECISION`, over all lengths of the list, the surest first."""


def corrupt(frame: pl.DataFrame, seed: int = 0) -> tuple[pl.DataFrame, dict[str, set[str]]]:
    """Return a manifest with faults, and of each kind the people whose labels are wrong."""
    rng = random.Random(seed)
    rows: list[Row] = frame.to_dicts()
    people: dict[str, list[Row]] = {}
    for row in rows:
        people.setdefault(str(row["person"]), []).append(row)
    names = sorted(people)
    rng.shuffle(names)
    count = round(SHARE * len(names))
    faulty: dict[str, set[str]] = {}
    for kind in KINDS:
        able = [name for name in names if _can(kind, people[name])][:count]
        names = [name for name in names if name not in set(able)]
        for name in able:
            _CORRUPT[kind](people[name], rng)
        faulty[kind] = set(able)
    return pl.DataFrame(rows, schema=frame.schema), faulty


def _can(kind: str, photos: Sequence[Row]) -> bool:
    words = {photo["mask"] for photo in photos}
    if kind == "swap":
        return len(words - {None}) > 1
    return all(photo[kind] is not None for photo in photos)


def _swap(photos: list[Row], rng: random.Random) -> None:
    first = rng.choice([photo for photo in photos if photo["mask"]])
    others = [photo for photo in photos if photo["mask"] not in (None, first["mask"])]
    second = rng.choice(others)
    first["mask"], second["mask"] = second["mask"], first["mask"]


def _mask(photos: list[Row], rng: random.Random) -> None:
    photo = rng.choice(photos)
    photo["mask"] = rng.choice([word for word in TASKS["mask"] if word != photo["mask"]])


def _gender(photos: list[Row], _: random.Random) -> None:
    for photo in photos:
        photo["gender"] = next(word for word in TASKS["gender"] if word != photo["gender"])


def _age_group(photos: list[Row], rng: random.Random) -> None:
    others = [word for word in TASKS["age_group"] if word != photos[0]["age_group"]]
    word = rng.choice(others)
    age = rng.randint(*_AGES[word])
    for photo in photos:
        photo["age_group"] = word
        photo["age"] = None if photo["age"] is None else age


_CORRUPT: Final = {"swap": _swap, "mask": _mask, "gender": _gender, "age_group": _age_group}


def score(findings: pl.DataFrame, faulty: dict[str, set[str]]) -> dict[str, Score]:
    """Return how well each kind was found: the people of findings, the surest first."""
    scores = {}
    for kind, wanted in faulty.items():
        found = findings.filter(pl.col("kind") == kind)
        listed = found.unique("person", keep="first", maintain_order=True)["person"].to_list()
        hits = [person in wanted for person in listed]
        right = sum(hits)
        scores[kind] = Score(
            len(wanted), len(hits), right / len(wanted), right / max(len(hits), 1),
            max(_recalls(hits, len(wanted)), default=0.0),
        )  # fmt: skip
    return scores


def _recalls(hits: Sequence[bool], wanted: int) -> Iterator[float]:
    """Yield the recalls of those beginnings of a list that are precise enough."""
    right = 0
    for length, hit in enumerate(hits, start=1):
        right += hit
        if right >= PRECISION * length:
            yield right / wanted
