"""Opens a labelling database for a manifest, and follows the manifest where it was edited."""

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import polars as pl

from maskwise.audit.findings import Finding
from maskwise.data.manifest import photo_ids
from maskwise.errors import StorageError
from maskwise.labeling.records import FIELDS
from maskwise.labeling.schema import connect, database_error
from maskwise.labels import age_group_of

_ABOUT: Final = ("path", "box", "person", "source", "fold")
_OLD: Final = tuple(f"old_{name}" for name in FIELDS)


@dataclass
class Followed:
    """How a manifest differs from what the database knew of it."""

    added: int = 0
    gone: int = 0
    """Photos that are in the database only; what was decided about them is kept."""
    edited: int = 0
    """Photos whose labels the manifest changed, where nobody had said otherwise."""
    disputed: list[str] = field(default_factory=list)
    """Photos that the manifest changed in another way than people did."""


class Store:
    """A labelling database; one lock lets its threads use it by turns."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            StorageError: it cannot be opened, is locked, damaged or of another version.
        """
        self.path = path
        self.lock = threading.RLock()
        self.connection = connect(path)
        self._file = _file_of(path)

    def __enter__(self) -> Self:
        """Return this."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        with self.lock:
            self.connection.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection in a transaction: all of a block is on the disk, or nothing.

        A block within another belongs to that one's transaction.

        Raises:
            StorageError: the file is locked, damaged or cannot be written.
        """
        with self.lock, self._errors():
            if self.connection.in_transaction:
                yield self.connection
                return
            if _file_of(self.path) != self._file:
                raise StorageError(
                    f"{self.path} was taken away or replaced while it was open: nothing is saved. "
                    "Put it back, or stop this and start it again"
                )
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                _roll_back(self.connection)
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to read from.

        Raises:
            StorageError: the file is locked or damaged.
        """
        with self.lock, self._errors():
            yield self.connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise database_error(self.path, error) from error

    def follow(self, frame: pl.DataFrame, folder: Path | None = None) -> Followed:
        """Take in a manifest with absolute paths: new photos, and labels that it changed.

        `folder` is the manifest's: where that has moved, its photos have moved with it.

        Raises:
            StorageError: the file is locked, damaged or cannot be written.
        """
        followed = Followed()
        with self.writing() as connection:
            if folder:
                _move(connection, folder.resolve())
            known = {row["name"]: row for row in connection.execute("SELECT * FROM photos")}
            names = photo_ids(frame)
            for name, row in zip(names, frame.iter_rows(named=True), strict=True):
                labels = [row[each] for each in FIELDS]
                about = [row["photo"], *(row[each] for each in _ABOUT[1:])]
                if name not in known:
                    _add(connection, name, about, labels)
                    followed.added += 1
                else:
                    _renew(connection, known[name], about, labels, followed)
            followed.gone = _mark_gone(connection, names, known)
        return followed

    def propose(self, frame: pl.DataFrame, findings: Sequence[Finding]) -> None:
        """Replace what was proposed by the findings of an audit of this manifest.

        Raises:
            StorageError: the file is locked, damaged or cannot be written.
        """
        names = photo_ids(frame)
        with self.writing() as connection:
            for table in ("finding_photos", "findings"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 # names of our own
            ids = dict(connection.execute("SELECT name, id FROM photos").fetchall())
            for number, found in enumerate(findings, start=1):
                connection.execute(
                    "INSERT INTO findings VALUES (?, ?, ?, ?)",
                    (number, found.kind, found.score, found.reason),
                )
                for row in dict.fromkeys(found.rows):
                    fixes = {fix.field: fix.value for fix in found.fixes if fix.row == row}
                    connection.execute(
                        "INSERT INTO finding_photos VALUES (?, ?, ?)",
                        (number, ids[names[row]], json.dumps(fixes)),
                    )
            connection.execute(_SCORES)


def _roll_back(connection: sqlite3.Connection) -> None:
    """Undo a transaction, unless SQLite has done so by itself."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _file_of(path: Path) -> tuple[int, int] | None:
    """Return what file it is, whatever its name."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


_SCORES: Final = """
UPDATE photos SET (score, kind) = (
    SELECT COALESCE(MAX(findings.score), 0), findings.kind FROM finding_photos
    JOIN findings ON findings.id = finding_photos.finding WHERE finding_photos.photo = photos.id
)
"""


def _move(connection: sqlite3.Connection, folder: Path) -> None:
    """Rename the photos below the manifest's folder where that has another name than before."""
    known = connection.execute("SELECT value FROM about WHERE key = 'folder'").fetchone()
    old, new = known[0] if known else f"{folder}{os.sep}", f"{folder}{os.sep}"
    if old != new:
        connection.execute(
            "UPDATE photos SET name = ? || substr(name, ?), path = ? || substr(path, ?) "
            "WHERE substr(name, 1, ?) = ?",
            (new, len(old) + 1, new, len(old) + 1, len(old), old),
        )
    connection.execute("INSERT OR REPLACE INTO about VALUES ('folder', ?)", (new,))


def _add(
    connection: sqlite3.Connection, name: str, about: Sequence[object], labels: Sequence[object]
) -> None:
    columns = ("name", *_ABOUT, *_OLD, *FIELDS)
    places = ", ".join("?" * len(columns))
    connection.execute(
        f"INSERT INTO photos ({', '.join(columns)}) VALUES ({places})",  # noqa: S608
        (name, *about, *labels, *labels),
    )


def _renew(
    connection: sqlite3.Connection,
    known: sqlite3.Row,
    about: Sequence[object],
    labels: Sequence[object],
    followed: Followed,
) -> None:
    """Take in what the manifest says now of a photo that is known.

    A label that only the manifest changed is taken, one that only people changed stays; where both
    did, and differently, the photo is disputed.
    """
    changed = [known[name] for name in _OLD] != list(labels)
    same_place = not known["gone"] and [known[name] for name in _ABOUT] == list(about)
    if not changed and same_place:
        return
    values: dict[str, object] = dict(zip(_ABOUT, about, strict=True)) | {"gone": 0}
    values |= dict(zip(_OLD, labels, strict=True))
    if changed:
        now = _merged(known, dict(zip(FIELDS, labels, strict=True)))
        if now is None:
            values["state"] = "disputed"
            followed.disputed.append(known["name"])
        elif any(known[name] != value for name, value in now.items()):
            values |= now
            followed.edited += 1
        if values.keys() & {"state", *FIELDS}:
            values["version"] = known["version"] + 1  # nobody has seen it as it is now
    settings = ", ".join(f"{name} = ?" for name in values)
    connection.execute(
        f"UPDATE photos SET {settings} WHERE id = ?",  # noqa: S608 # names of our own
        (*values.values(), known["id"]),
    )


def _merged(known: sqlite3.Row, labels: dict[str, Any]) -> dict[str, Any] | None:
    """Return the labels of a photo that the manifest and people changed; None if they disagree."""
    now = {}
    for name, new in labels.items():
        old, own = known[f"old_{name}"], known[name]
        if len({old, new, own}) == 3:
            return None
        now[name] = new if own == old else own
    age, group = now["age"], now["age_group"]
    if age is not None and group is not None and age_group_of(age) != group:
        return None
    return now


def _mark_gone(
    connection: sqlite3.Connection, names: Sequence[str], known: dict[str, sqlite3.Row]
) -> int:
    gone = [(known[name]["id"],) for name in known.keys() - set(names)]
    connection.executemany("UPDATE photos SET gone = 1 WHERE id = ?", gone)
    return len(gone)
