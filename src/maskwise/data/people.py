"""Signs that the people of a manifest are not who its ids say."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import polars as pl

from maskwise.errors import listed

AGES_APART: Final = 10
"""Years between photos of one person that are still believed."""
_SHOWN: Final = 3


def people_warnings(frame: pl.DataFrame) -> list[str]:
    """Return what a person should check before a manifest is split by people.

    Ids that stand for several people, and several ids of one person, both spoil a split: in the
    second case a model is scored on a person of its training set.

    Args:
        frame: A manifest.
    """
    return [*_contradictions(frame), *_alike(frame), *_singles(frame)]


def _contradictions(frame: pl.DataFrame) -> Iterator[str]:
    by_person = frame.group_by("person", maintain_order=True)
    genders = by_person.agg(pl.col("gender").drop_nulls().n_unique())
    both = genders.filter(pl.col("gender") > 1)["person"].to_list()
    if both:
        yield _told(both, "have both genders: is each id one human?")
    ages = by_person.agg(apart=pl.col("age").max() - pl.col("age").min())
    far = ages.filter(pl.col("apart") > AGES_APART)["person"].to_list()
    if far:
        yield _told(far, f"have ages more than {AGES_APART} years apart: is each id one human?")


def _alike(frame: pl.DataFrame) -> Iterator[str]:
    """Yield ids that differ in capitals, leading zeros, spaces, a `.0` or code points only."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for source, person in frame.select("source", "person").unique(maintain_order=True).iter_rows():
        groups[source, _plain_id(person)].append(person)
    alike = [" and ".join(_told_apart(ids)) for ids in groups.values() if len(ids) > 1]
    if alike:
        yield (
            f"{len(alike)} group(s) of person ids differ in capitals, spaces, leading zeros, a "
            f"'.0' or how characters are encoded only, and count as different people:\n"
            f"{listed(alike, limit=_SHOWN)}"
        )


def _singles(frame: pl.DataFrame) -> Iterator[str]:
    if len(frame) > 1 and frame["person"].n_unique() == len(frame):
        yield (
            "each photo counts as a person of its own: if some show the same human, name people "
            "with --person-pattern or --column person=NAME, or a model is scored on people whom it "
            "was trained on"
        )


def _plain_id(person: str) -> str:
    composed = unicodedata.normalize("NFKC", person)
    words = re.sub(r"\.0+$", "", composed.strip().casefold())
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\s_-]+", " ", words))


def _told_apart(ids: list[str]) -> list[str]:
    """Return ids for a message; as code points if they print the same."""
    printed = {unicodedata.normalize("NFC", one) for one in ids}
    return [repr(one) if len(printed) == len(ids) else ascii(one) for one in ids]


def _told(people: list[str], what: str) -> str:
    return f"{len(people)} person id(s) {what}\n{listed(people, limit=_SHOWN)}"
