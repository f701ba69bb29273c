"""The audit as one self-contained HTML page, with photos."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from maskwise.audit.audit import Audit
from maskwise.audit.findings import KINDS, Finding
from maskwise.data.corrections import DELETED
from maskwise.data.frames import photo_refs
from maskwise.errors import PhotoError
from maskwise.evaluation.report import page_template, thumbnail
from maskwise.storage import write_text
from maskwise.version import __version__

SHOWN: Final = 48
"""Findings of a kind that the page shows; all are in the CSV file."""
_PHOTOS: Final = 4
"""Photos of a finding that the page shows."""


def write_page(path: Path, audit: Audit, about: dict[str, str]) -> None:
    """Write the page; `about` is shown as it is at the top.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    kinds = [
        {
            "name": kind,
            "meaning": meaning,
            "count": audit.counts[kind],
            "findings": [_shown(audit.frame, found) for found in _of_kind(audit, kind)[:SHOWN]],
        }
        for kind, meaning in KINDS.items()
        if kind in audit.counts
    ]
    page = page_template("audit.html").render(
        kinds=kinds, about=about, total=len(audit.findings), version=__version__
    )
    write_text(path, page)


def _of_kind(audit: Audit, kind: str) -> list[Finding]:
    return [found for found in audit.findings if found.kind == kind]


def _shown(frame: pl.DataFrame, found: Finding) -> dict[str, Any]:
    rows = found.rows[:_PHOTOS]
    return {
        "score": found.score,
        "reason": found.reason,
        "person": frame["person"][rows[0]],
        "names": [Path(frame["photo"][row]).name for row in rows],
        "pictures": _pictures(frame, rows),
        "fixes": list(dict.fromkeys(_told(fix.field, fix.value) for fix in found.fixes)),
    }


def _pictures(frame: pl.DataFrame, rows: Sequence[int]) -> list[str]:
    """Return small pictures of those photos that can be read."""
    pictures = []
    for photo in photo_refs(frame[list(rows)]):
        try:
            pictures.append(thumbnail(photo.path, photo.box))
        except PhotoError:
            continue
    return pictures


def _told(field: str, value: str) -> str:
    if field == DELETED:
        return "take out"
    return f"{field} → {value}" if value else f"no {field}"
