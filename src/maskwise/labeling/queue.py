"""Which photo comes next, and what is shown with it."""

import json
import sqlite3
import time
from typing import Any, Final

from maskwise.labeling.records import FIELDS, Filters, WrongDecisionError
from maskwise.labeling.schema import STATES
from maskwise.labeling.store import Store
from maskwise.labeling.twice import OPEN_TWICE, settled_by_another
from maskwise.labels import TASKS

HELD: Final = 120.0
"""Seconds that a photo is kept for who was given it; nobody else is given it meanwhile."""
_RELATED: Final = 200
"""Other photos of the person that are shown, at most."""


def next_photos(
    store: Store,
    who: str,
    filters: Filters,
    after: tuple[float, int] | None = None,
    count: int = 1,
    twice: bool = False,
) -> list[dict[str, Any]]:
    """Return photos in order of score, with what is shown of them, and hold them for a person.

    `after` is score and id of the photo before; photos that somebody else is looking at are passed
    over. With `twice`, photos that one other person has settled are given too, as if nobody had.

    Raises:
        WrongDecisionError: there is no such filter.
        StorageError: the file is locked or damaged.
    """
    rules, values = _rules(filters, who, twice)
    now = time.time()
    rules.append("NOT EXISTS (SELECT 1 FROM holds WHERE holds.photo = photos.id "
                 "AND holds.who <> ? AND holds.until > ?)")  # fmt: skip
    values += [who, now]
    if after:
        rules.append("(score < ? OR (score = ? AND id > ?))")
        values += [after[0], after[0], after[1]]
    with store.writing() as connection:
        rows = connection.execute(
            f"SELECT * FROM photos WHERE {' AND '.join(rules)} "  # noqa: S608 # rules of our own
            "ORDER BY score DESC, id LIMIT ?",
            (*values, count),
        ).fetchall()
        holds = [(row["id"], who, now + HELD) for row in rows]
        connection.executemany("INSERT OR REPLACE INTO holds VALUES (?, ?, ?)", holds)
        return [_shown(connection, row, who, twice) for row in rows]


def photo_detail(store: Store, number: int, who: str, twice: bool = False) -> dict[str, Any]:
    """Return what is shown of a photo.

    Raises:
        WrongDecisionError: there is no such photo.
        StorageError: the file is locked or damaged.
    """
    with store.reading() as connection:
        return _shown(connection, _known(connection, number), who, twice)


def count_photos(store: Store, who: str, filters: Filters, twice: bool = False) -> int:
    """Return how many photos a filter leaves.

    Raises:
        WrongDecisionError: there is no such filter.
        StorageError: the file is locked or damaged.
    """
    rules, values = _rules(filters, who, twice)
    with store.reading() as connection:
        found = connection.execute(
            f"SELECT COUNT(*) FROM photos WHERE {' AND '.join(rules)}",  # noqa: S608
            values,
        ).fetchone()
        return int(found[0])


def photo_place(store: Store, number: int) -> tuple[str, str | None]:
    """Return a photo's file and box.

    Raises:
        WrongDecisionError: there is no such photo.
        StorageError: the file is locked or damaged.
    """
    with store.reading() as connection:
        row = _known(connection, number)
    return row["path"], row["box"]


def _known(connection: sqlite3.Connection, number: int) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM photos WHERE id = ?", (number,)
    ).fetchone()
    if row is None:
        raise WrongDecisionError(f"there is no photo {number}")
    return row


def _rules(filters: Filters, who: str, twice: bool) -> tuple[list[str], list[Any]]:
    """Return SQL conditions and their values."""
    rules: list[str] = ["gone = 0"]
    values: list[Any] = []
    if filters.state not in ("all", *STATES):
        raise WrongDecisionError(f"no state {filters.state!r}; expected all, {', '.join(STATES)}")
    if filters.state == "open" and twice:
        rules.append(OPEN_TWICE)
        values.append(who)
    elif filters.state != "all":
        rules.append("state = ?")
        values.append(filters.state)
    if filters.kind:
        rules.append(
            "id IN (SELECT photo FROM finding_photos JOIN findings ON finding = findings.id "
            "WHERE kind = ?)"
        )
        values.append(filters.kind)
    if filters.task:
        if filters.task not in TASKS:
            raise WrongDecisionError(f"no task {filters.task!r}; expected {', '.join(TASKS)}")
        rules.append(f"COALESCE({filters.task}, '') = ?")
        values.append(filters.word)
    if filters.person:
        rules.append("person = ?")
        values.append(filters.person)
    if filters.found:
        rules.append("kind IS NOT NULL")
    return rules, values


def _shown(
    connection: sqlite3.Connection, row: sqlite3.Row, who: str, twice: bool
) -> dict[str, Any]:
    """Return a photo with its findings, the person's other photos and what was decided."""

    def blind(photo: sqlite3.Row) -> bool:
        return twice and settled_by_another(connection, photo, who)

    related = connection.execute(
        "SELECT * FROM photos WHERE person = ? AND id <> ? AND gone = 0 ORDER BY id LIMIT ?",
        (row["person"], row["id"], _RELATED),
    ).fetchall()
    unseen = blind(row)
    return _plain(row, unseen) | {
        "findings": _findings(connection, row["id"]),
        "related": [_plain(other, blind(other)) for other in related],
        "history": [] if unseen else _history(connection, row["id"]),
    }


def _plain(row: sqlite3.Row, blind: bool) -> dict[str, Any]:
    """Return a photo's labels and state; blind, as if nobody had decided."""
    labels = {name: row[f"old_{name}" if blind else name] for name in FIELDS}
    return {
        "id": row["id"],
        "name": row["name"],
        "person": row["person"],
        "version": row["version"],
        "score": row["score"],
        "kind": row["kind"],
        "state": "open" if blind else row["state"],
        "labels": labels,
        "old": {name: row[f"old_{name}"] for name in FIELDS},
    }


def _findings(connection: sqlite3.Connection, number: int) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT findings.*, fixes FROM finding_photos JOIN findings ON finding = findings.id "
        "WHERE photo = ? ORDER BY score DESC",
        (number,),
    ).fetchall()
    return [
        {"kind": row["kind"], "score": row["score"], "reason": row["reason"],
         "fixes": json.loads(row["fixes"]), "others": _others(connection, row["id"], number)}
        for row in rows
    ]  # fmt: skip


def _others(connection: sqlite3.Connection, finding: int, number: int) -> list[dict[str, Any]]:
    """Return the other photos of a finding, with what it would change in them."""
    rows = connection.execute(
        "SELECT photo, version, fixes FROM finding_photos JOIN photos ON photo = photos.id "
        "WHERE finding = ? AND photo <> ? AND gone = 0",
        (finding, number),
    ).fetchall()
    return [
        {"id": row["photo"], "version": row["version"], "fixes": json.loads(row["fixes"])}
        for row in rows
    ]


def _history(connection: sqlite3.Connection, number: int) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT who, at, action, changes, labels FROM events WHERE photo = ? ORDER BY id", (number,)
    ).fetchall()
    read = ("changes", "labels")
    return [dict(row) | {name: json.loads(row[name]) for name in read} for row in rows]
