"""What the audit finds: kinds, scores, reasons, and the changes that would mend it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from maskwise.data.corrections import named_below
from maskwise.data.csv_files import read_rows
from maskwise.data.manifest import photo_id, photo_ids
from maskwise.errors import ManifestError
from maskwise.storage import replacing

KINDS: Final[dict[str, str]] = {
    "unreadable": "the file is missing, damaged or no photo, or the box lies outside it",
    "blank": "one colour from edge to edge",
    "duplicate": "the same picture twice",
    "twin": "two photos that nearly equal each other",
    "swap": "photos of a person whose mask labels changed places",
    "mask": "a mask label that a model does not believe",
    "gender": "a gender that a model does not believe, over all photos of the person",
    "age_group": "an age group that a model does not believe, over all photos of the person",
    "inconsistent": "photos of a person that disagree about gender or age",
    "boundary": "an age beside a boundary, and a face that looks like the other side",
    "no_face": "no face was found",
    "several_faces": "several faces, none of them named by a box",
    "blurred": "much less sharp than the set",
    "dark": "hardly any light",
    "bright": "hardly anything but light",
    "odd_size": "very small, or very long",
}
"""Kinds of findings and what they mean."""


@dataclass(frozen=True)
class Fix:
    """A change of one field of one row; an empty `value` of `DELETED` takes the row out."""

    row: int
    field: str
    value: str


@dataclass(frozen=True)
class Finding:
    """Something that looks wrong."""

    kind: str
    """One of `KINDS`."""
    rows: tuple[int, ...]
    """Of the manifest, the one to look at first; at least one."""
    score: float
    """From 0 to 1: how sure it is. Of labels, how unlikely they are to the model."""
    reason: str
    fixes: tuple[Fix, ...] = ()
    """What would mend it, all together; empty where a person must see."""


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings, the surest first."""
    place = {kind: number for number, kind in enumerate(KINDS)}
    return sorted(findings, key=lambda found: (-found.score, place[found.kind], found.rows))


_COLUMNS: Final = {
    "finding": pl.Int64, "kind": pl.String, "score": pl.Float64, "photo": pl.String,
    "box": pl.String, "person": pl.String, "field": pl.String, "from": pl.String, "to": pl.String,
    "reason": pl.String,
}  # fmt: skip


def findings_table(frame: pl.DataFrame, findings: Sequence[Finding], folder: Path) -> pl.DataFrame:
    """Return a row for each change that a finding asks for, and for its photos without any.

    `finding` counts from 1; `from` is what the manifest says now. Photos below `folder` are named
    from there.
    """
    lines = []
    for number, found in enumerate(findings, start=1):
        about = {"finding": number, "kind": found.kind, "score": round(found.score, 6)}
        for row in found.rows:
            fixes = [fix for fix in found.fixes if fix.row == row] or [Fix(row, "", "")]
            names = {name: frame[name][row] for name in ("box", "person")}
            names["photo"] = named_below(folder, frame["photo"][row])
            lines += [
                about | names | {"field": fix.field, "from": _value(frame, fix), "to": fix.value}
                | {"reason": found.reason} for fix in fixes
            ]  # fmt: skip
    return pl.DataFrame(lines, schema=_COLUMNS)


def _value(frame: pl.DataFrame, fix: Fix) -> str | None:
    """Return what a row says now; nothing where the finding asks for no change."""
    value = frame[fix.field][fix.row] if fix.field else None
    return None if value is None else str(value)


def write_findings(
    path: Path, frame: pl.DataFrame, findings: Sequence[Finding], folder: Path
) -> None:
    """Write `findings_table` as CSV.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with replacing(path) as temporary:
        findings_table(frame, findings, folder).write_csv(temporary)


def read_findings(path: Path, frame: pl.DataFrame, folder: Path) -> list[Finding]:
    """Read findings about the rows of a manifest; those of photos that left it are left out.

    Relative names begin at `folder`.

    Raises:
        ManifestError: the file cannot be read, is no list of findings, or of none of the photos.
    """
    rows = {name: row for row, name in enumerate(photo_ids(frame))}
    grouped: dict[str, list[dict[str, str]]] = {}
    for line, row in read_rows(path, tuple(_COLUMNS)):
        missing = [name for name in _COLUMNS if name not in row]
        if missing or row["kind"] not in KINDS or not _is_share(row["score"]):
            raise ManifestError(
                f"{path}: row {line} is no finding; expected {', '.join(_COLUMNS)}, as maskwise "
                "data audit writes them"
            )
        grouped.setdefault(row["finding"], []).append(row)
    findings = []
    for lines in grouped.values():
        named = [(rows.get(_whole_name(line, folder)), line) for line in lines]
        known = [(row, line) for row, line in named if row is not None]
        if len(known) == len(lines):
            fixes = [Fix(row, line["field"], line["to"]) for row, line in known if line["field"]]
            about = lines[0]
            findings.append(
                Finding(about["kind"], tuple(dict.fromkeys(row for row, _ in known)),
                        float(about["score"]), about["reason"], tuple(fixes))
            )  # fmt: skip
    if grouped and not findings:
        raise ManifestError(
            f"{path} is about none of the manifest's photos; make it anew with maskwise data "
            "audit, or name another with --findings"
        )
    return findings


def _whole_name(line: dict[str, str], folder: Path) -> str:
    photo = os.path.abspath(folder / line["photo"])  # noqa: PTH100 # links stay
    return photo_id(photo, line["box"] or None)


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False
