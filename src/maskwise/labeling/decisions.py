"""Decisions: appended, void where somebody else was quicker, taken back by who made them."""

import json
import sqlite3
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from maskwise.data.age_ranges import MAX_AGE
from maskwise.labeling.records import (
    FIELDS,
    STATE_OF,
    Decision,
    Labels,
    StaleError,
    WrongDecisionError,
)
from maskwise.labeling.schema import STANDING
from maskwise.labeling.store import Store
from maskwise.labeling.twice import settled_by_another
from maskwise.labels import TASKS, age_group_of


def decide(
    store: Store, who: str, decisions: Sequence[Decision], twice: bool = False
) -> list[dict[str, Any]]:
    """Record decisions, all or none; return the photos as they stand then.

    With `twice`, a second person's decision leaves the first one's labels: the two agree, or the
    photo is disputed until somebody decides again.

    Raises:
        StaleError: somebody decided about one of the photos after it was shown.
        WrongDecisionError: there is no such photo, or the labels are none.
        StorageError: the file is locked, damaged or cannot be written.
    """
    if not who.strip():
        raise WrongDecisionError("a decision needs the name of who made it")
    batch = uuid.uuid4().hex
    with store.writing() as connection:
        for decision in decisions:
            photo = _photo(connection, decision.photo)
            second = twice and settled_by_another(connection, photo, who)
            if not second and photo["version"] != decision.version:
                raise StaleError(dict(photo))
            labels = _labels(_originals(photo) if second else photo, decision)
            now, state = labels, STATE_OF.get(decision.action, photo["state"])
            if second:
                now = {name: photo[name] for name in FIELDS}
                state = state if (labels, state) == (now, photo["state"]) else "disputed"
            _record(connection, photo, who, decision.action, labels, batch, now, state)
        return [dict(_photo(connection, decision.photo)) for decision in decisions]


def undo(store: Store, who: str) -> list[dict[str, Any]]:
    """Take a person's last decision back, with all photos that it was about; return them.

    A photo about which no decision is left is labelled as the manifest says.

    Raises:
        StaleError: somebody else has decided about one of them since.
        WrongDecisionError: there is nothing to take back.
        StorageError: the file is locked, damaged or cannot be written.
    """
    with store.writing() as connection:
        last = connection.execute(
            f"SELECT batch FROM events WHERE who = ? AND {STANDING} "  # noqa: S608
            "ORDER BY id DESC LIMIT 1",
            (who,),
        ).fetchone()
        if last is None:
            raise WrongDecisionError("there is nothing to take back")
        events = connection.execute(
            "SELECT * FROM events WHERE batch = ? ORDER BY id", (last["batch"],)
        ).fetchall()
        batch = uuid.uuid4().hex
        for event in events:
            photo = _photo(connection, event["photo"])
            if _standing(connection, photo, "id > ?", event["id"]):
                raise StaleError(dict(photo))
            changes = json.loads(event["changes"])
            before, state = {name: photo[name] for name in FIELDS}, changes["state"][0]
            before |= {name: pair[0] for name, pair in changes.items() if name in FIELDS}
            if not _standing(connection, photo, "id <> ?", event["id"]):
                before, state = _originals(photo), "open"
            _record(connection, photo, who, "undo", before, batch, before, state, event["id"])
        return [dict(_photo(connection, event["photo"])) for event in events]


def _photo(connection: sqlite3.Connection, number: int) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM photos WHERE id = ? AND gone = 0", (number,)
    ).fetchone()
    if row is None:
        raise WrongDecisionError(f"there is no photo {number} in the manifest any more")
    return row


def _standing(connection: sqlite3.Connection, photo: sqlite3.Row, rule: str, value: object) -> bool:
    """Return whether a decision about a photo stands for which a rule holds."""
    found = connection.execute(
        f"SELECT 1 FROM events WHERE photo = ? AND {rule} AND {STANDING}",  # noqa: S608
        (photo["id"], value),
    ).fetchone()
    return found is not None


def _originals(photo: sqlite3.Row) -> dict[str, Any]:
    return {name: photo[f"old_{name}"] for name in FIELDS}


def _labels(photo: Any, decision: Decision) -> Labels:
    """Return the labels of a photo after a decision.

    A new age brings its group; a new group that contradicts the age takes that away.
    """
    labels: Labels = {name: photo[name] for name in FIELDS}
    if decision.action not in ("label", "relabel"):
        if decision.labels:
            raise WrongDecisionError(f"{decision.action} takes no labels")
        return labels
    for name, value in decision.labels.items():
        _check(name, value)
        labels[name] = value
    age = labels["age"]
    if age is None or ("age_group" not in decision.labels and "age" not in decision.labels):
        return labels
    group = str(age_group_of(int(age)))
    if "age" in decision.labels:
        if decision.labels.get("age_group", group) != group:
            raise WrongDecisionError(f"age {age} is {group}, not {labels['age_group']}")
        labels["age_group"] = group
    elif labels["age_group"] != group:
        labels["age"] = None
    return labels


def _check(name: str, value: object) -> None:
    if name not in FIELDS:
        raise WrongDecisionError(f"there is no label {name!r}; expected {', '.join(FIELDS)}")
    if value is None:
        return
    if name == "age":
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not 0 <= int(str(value)) <= MAX_AGE:
            raise WrongDecisionError(f"age {value!r} is no whole number from 0 to {MAX_AGE}")
    elif value not in TASKS[name]:
        raise WrongDecisionError(f"{name} is {value!r}; expected {', '.join(TASKS[name])}")


def _record(
    connection: sqlite3.Connection,
    photo: sqlite3.Row,
    who: str,
    action: str,
    labels: Labels,
    batch: str,
    now: Labels,
    state: str,
    undoes: int | None = None,
) -> None:
    """Append an event, in which a person gave a photo `labels`, and make it so: `now`, `state`."""
    changes = {name: [photo[name], now[name]] for name in FIELDS if photo[name] != now[name]}
    version = photo["version"] + 1
    connection.execute(
        "INSERT INTO events VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            photo["id"], who, datetime.now(UTC).isoformat(timespec="milliseconds"), action,
            json.dumps(changes | {"state": [photo["state"], state]}), json.dumps(labels), state,
            version, batch, undoes,
        ),
    )  # fmt: skip
    settings = ", ".join(f"{name} = ?" for name in FIELDS)
    connection.execute(
        f"UPDATE photos SET {settings}, state = ?, version = ? WHERE id = ?",  # noqa: S608
        (*(now[name] for name in FIELDS), state, version, photo["id"]),
    )
    connection.execute("DELETE FROM holds WHERE photo = ?", (photo["id"],))
