"""Which people count as one because of near-duplicates, and which photos join them."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from maskwise.data.duplicates import Twin


@dataclass(frozen=True)
class JoinedPeople:
    """People who count as one."""

    people: int
    photo: str
    """The photo with the most near-duplicates among photos of other people."""
    person: str
    equals: int
    """Photos of other people that are its near-duplicates."""
    such_as: str
    """One of them."""
    other_person: str

    def __str__(self) -> str:
        """Return who is joined by what."""
        return (
            f"{self.people} people count as one: {self.photo} (person {self.person}) has "
            f"{self.equals} near-duplicate(s) among photos of others, such as "
            f"{self.such_as} (person {self.other_person})"
        )


def joined_people(
    frame: pl.DataFrame, groups: Sequence[int], twins: Sequence[Twin], least: int = 3
) -> list[JoinedPeople]:
    """Return the groups of `least` people or more that near-duplicates join, largest first.

    Args:
        frame: A manifest.
        groups: The group of each row, of `join_people`.
        twins: Pairs of near-duplicates.
        least: The fewest people of a group that is returned.
    """
    person, photo = frame["person"], frame["photo"]
    members: dict[int, set[str]] = defaultdict(set)
    for group, name in zip(groups, person, strict=True):
        members[group].add(name)
    others: dict[int, list[int]] = defaultdict(list)
    for twin in twins:
        if person[twin.first] != person[twin.second]:
            others[twin.first].append(twin.second)
            others[twin.second].append(twin.first)
    hubs: dict[int, int] = {}
    for row, equal in others.items():
        best = hubs.get(groups[row])
        if best is None or len(equal) > len(others[best]):
            hubs[groups[row]] = row
    sizes = Counter({group: len(members[group]) for group in hubs})
    return [
        JoinedPeople(
            size, photo[hubs[group]], person[hubs[group]], len(others[hubs[group]]),
            photo[others[hubs[group]][0]], person[others[hubs[group]][0]],
        )
        for group, size in sizes.most_common()
        if size >= least
    ]  # fmt: skip
