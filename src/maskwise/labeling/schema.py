"""The database behind the labelling page: one SQLite file beside the manifest.

Decisions are events, appended and never changed; what a photo's labels are now follows from them
and from the manifest, and is kept beside, for speed. A decision is on the disk before it is
answered: the file is in write-ahead mode and every commit is flushed.
"""

import shutil
import sqlite3
from pathlib import Path
from typing import Final

from maskwise.errors import StorageError

VERSION: Final = 1
BUSY: Final = 10.0
"""Seconds that a writer waits for another before it gives up."""
STATES: Final = ("open", "done", "wrong", "skipped", "deleted", "disputed")
"""Of a photo: nobody decided; labels are right or mended; wrong, somebody must say how; put off;
taken out; two people disagree."""
UNSETTLED: Final = ("wrong", "skipped", "disputed")
"""States of photos that were reviewed, but whose labels are not confirmed."""
STANDING: Final = (
    "undoes IS NULL AND id NOT IN (SELECT undoes FROM events WHERE undoes IS NOT NULL)"
)
"""Condition of events that are decisions, and were not taken back."""
_SCHEMA: Final = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE photos (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, path TEXT NOT NULL, box TEXT,
    person TEXT NOT NULL, source TEXT NOT NULL, fold TEXT,
    old_mask TEXT, old_gender TEXT, old_age INTEGER, old_age_group TEXT,
    mask TEXT, gender TEXT, age INTEGER, age_group TEXT,
    state TEXT NOT NULL DEFAULT 'open', version INTEGER NOT NULL DEFAULT 0,
    score REAL NOT NULL DEFAULT 0, kind TEXT,
    gone INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX photos_queue ON photos (gone, state, score DESC, id);
CREATE INDEX photos_person ON photos (person);
CREATE TABLE findings (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, score REAL NOT NULL, reason TEXT NOT NULL
) STRICT;
CREATE TABLE finding_photos (
    finding INTEGER NOT NULL REFERENCES findings, photo INTEGER NOT NULL REFERENCES photos,
    fixes TEXT NOT NULL, PRIMARY KEY (photo, finding)
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, photo INTEGER NOT NULL REFERENCES photos,
    who TEXT NOT NULL, at TEXT NOT NULL, action TEXT NOT NULL, changes TEXT NOT NULL,
    labels TEXT NOT NULL, state TEXT NOT NULL, version INTEGER NOT NULL, batch TEXT NOT NULL,
    undoes INTEGER REFERENCES events
) STRICT;
CREATE INDEX events_photo ON events (photo);
CREATE INDEX events_who ON events (who, id);
CREATE UNIQUE INDEX events_undone ON events (undoes) WHERE undoes IS NOT NULL;
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events stay'); END;
CREATE TRIGGER events_last BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events stay'); END;
CREATE TABLE holds (photo INTEGER PRIMARY KEY, who TEXT NOT NULL, until REAL NOT NULL) STRICT;
"""

_LEAST_FREE: Final = 1_000_000
"""Bytes of a disk that is not full: the log of changes and its index take less."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the database, and make it where there is none.

    Raises:
        StorageError: it cannot be opened, is locked, damaged or of another version.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            path, timeout=BUSY, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        for rule in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {rule}")
        _check(path, connection)
    except (sqlite3.Error, OSError) as error:
        raise database_error(path, error) from error
    return connection


def _check(path: Path, connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        connection.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"
        )
    elif version != VERSION:
        raise StorageError(
            f"{path} is no database of this version of the labelling page (version {version}, "
            f"expected {VERSION}); name another, --database"
        )
    faults = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    if faults != ["ok"]:
        raise StorageError(_damaged(path, "; ".join(faults)))


def database_error(path: Path, error: Exception) -> StorageError:
    """Return what to say of a failure of the database."""
    text = str(error)
    if "locked" in text or "busy" in text:
        return StorageError(
            f"{path} is locked by another program; close that, or wait. Nothing was lost"
        )
    if "disk is full" in text or ("disk I/O" in text and _is_full(path.parent)):
        return StorageError(
            f"cannot use {path}: the disk is full; free some space. Nothing was lost"
        )
    if "malformed" in text or "not a database" in text:
        return StorageError(_damaged(path, text))
    return StorageError(f"cannot use {path}: {text}; check that its folder may be written")


def _is_full(folder: Path) -> bool:
    """Return whether a disk lacks the room that the database needs beside its file."""
    try:
        return shutil.disk_usage(folder).free < _LEAST_FREE
    except OSError:
        return False


def _damaged(path: Path, reason: str) -> str:
    return (
        f"{path} is damaged ({reason}). Keep it: `sqlite3 {path.name} .recover` saves what can be "
        "read. To begin anew name another, --database"
    )
