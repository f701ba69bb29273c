"""From decisions to a corrected manifest and a list of corrections."""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from maskwise.data.corrections import DELETED, Correction, named_below
from maskwise.labeling.records import FIELDS
from maskwise.labeling.store import Store

_COUNTED: Final = ("done", "deleted", "open")
"""States in which labels count; in an open photo they may be those of a whole person."""


def corrections(store: Store, folder: Path) -> list[Correction]:
    """Return what settled decisions change in the manifest: the last one of each label.

    Photos below `folder`, the manifest's, are named from there, so that the list goes where that
    goes. Labels that are wrong without a better one, put off or disputed change nothing.

    Raises:
        StorageError: the file is locked or damaged.
    """
    found = []
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT * FROM photos WHERE gone = 0 AND state IN (?, ?, ?) ORDER BY id", _COUNTED
        ).fetchall()
        for row in rows:
            last = connection.execute(
                "SELECT who, at, changes FROM events WHERE photo = ? ORDER BY id DESC", (row["id"],)
            ).fetchall()
            photo, path = (named_below(folder, row[name]) for name in ("name", "path"))
            if row["state"] == "deleted":
                who, when = _decider(last, "state")
                found.append(Correction(photo, DELETED, path, "", who, when))
                continue
            for name in FIELDS:
                before, after = row[f"old_{name}"], row[name]
                if before != after:
                    who, when = _decider(last, name)
                    found.append(Correction(photo, name, _text(before), _text(after), who, when))
    return found


def _decider(events: Sequence[sqlite3.Row], name: str) -> tuple[str, str]:
    """Return who changed something last, and when."""
    return next(
        ((event["who"], event["at"]) for event in events if name in json.loads(event["changes"])),
        ("", ""),
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)
