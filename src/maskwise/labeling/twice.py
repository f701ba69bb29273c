"""Second opinions: who has settled a photo, and who may still say what it shows."""

import sqlite3
from typing import Final

from maskwise.labeling.schema import STANDING

_SETTLED: Final = ("done", "deleted")
OPEN_TWICE: Final = f"""
(state = 'open' OR (state IN {_SETTLED} AND
(SELECT COUNT(DISTINCT who) FROM events WHERE photo = photos.id AND {STANDING}) = 1 AND
NOT EXISTS (SELECT 1 FROM events WHERE photo = photos.id AND who = ? AND {STANDING})))
"""  # noqa: S608 # words of our own
"""Condition of photos that a person, the value it takes, is given where two people decide."""


def first_decider(connection: sqlite3.Connection, photo: sqlite3.Row, who: str) -> str | None:
    """Return who else settled a photo, where this person has said nothing; none if nobody did."""
    if photo["state"] not in _SETTLED:
        return None
    deciders = connection.execute(
        f"SELECT who FROM events WHERE photo = ? AND {STANDING}",  # noqa: S608
        (photo["id"],),
    ).fetchall()
    names = [row["who"] for row in deciders]
    return None if who in names or not names else str(names[-1])
