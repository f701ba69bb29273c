"""Photos that stand in a set twice, or nearly so."""

from collections.abc import Iterator, Sequence

import polars as pl

from maskwise.audit.findings import Finding, Fix
from maskwise.data.corrections import DELETED
from maskwise.data.duplicates import MAX_PIXEL_DISTANCE, Twin

_TOLD = ("mask", "gender", "age", "age_group")


def pair_findings(frame: pl.DataFrame, twins: Sequence[Twin]) -> Iterator[Finding]:
    """Yield the pairs of equal and of nearly equal photos; `twins` are those of `find_twins`.

    A pair is the surer the more it harms: across folds it flatters every score, with labels that
    differ one of them is wrong. Of two copies of a person the one that says no more may go; else
    somebody must see. Faces of one file, told apart by their boxes, are no pair.
    """
    for twin in twins:
        if frame["photo"][twin.first] == frame["photo"][twin.second]:
            continue
        harms = _harms(frame, twin)
        kind = "twin" if twin.distance else "duplicate"
        likeness = 1 - twin.distance / MAX_PIXEL_DISTANCE / 2
        score = likeness * (0.7 + 0.1 * len(harms))
        alike = "the same picture" if kind == "duplicate" else "nearly the same picture"
        reason = ", ".join([alike, *harms])
        spare = _spare(frame, twin) if kind == "duplicate" else None
        fixes = () if spare is None else (Fix(spare, DELETED, ""),)
        yield Finding(kind, (twin.second, twin.first), score, reason, fixes)


def _spare(frame: pl.DataFrame, twin: Twin) -> int | None:
    """Return the copy that tells nothing which the other does not; None if each does."""
    rows = frame.row(twin.first, named=True), frame.row(twin.second, named=True)
    if any(rows[0][name] != rows[1][name] for name in ("person", "box")):
        return None
    for place, spare in ((1, twin.second), (0, twin.first)):
        if all(rows[place][name] in (None, rows[1 - place][name]) for name in _TOLD):
            return spare
    return None


def _harms(frame: pl.DataFrame, twin: Twin) -> list[str]:
    """Return what is wrong with a pair, beside being one."""
    first, second = (frame.row(row, named=True) for row in (twin.first, twin.second))
    harms = []
    if first["person"] != second["person"]:
        harms.append(f"under two persons, {first['person']} and {second['person']}")
    if first["fold"] != second["fold"]:
        harms.append(f"in two folds, {first['fold']} and {second['fold']}")
    differing = [
        f"{name} {first[name]} and {second[name]}"
        for name in _TOLD
        if None not in (first[name], second[name]) and first[name] != second[name]
    ]
    if differing:
        harms.append(f"labels differ: {', '.join(differing)}")
    return harms
