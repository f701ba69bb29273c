"""Second opinions: who has settled a photo, and who may still say what it shows."""

import sqlite3
from typing import Any, Final

from maskwise.labeling.schema import STANDING

_SETTLED: Final = ("done", "deleted")
OPINION: Final = f"action IN ('accept', 'label', 'delete') AND {STANDING}"
"""Condition of events that say what a photo is, and were not taken back."""
_ONE_OTHER: Final = f"""
(SELECT COUNT(DISTINCT who) FROM events WHERE photo = photos.id AND {OPINION}) = 1 AND
NOT EXISTS (SELECT 1 FROM events WHERE photo = photos.id AND who = ? AND {OPINION})
"""  # noqa: S608 # words of our own
OPEN_TWICE: Final = f"(state = 'open' OR (state IN {_SETTLED} AND {_ONE_OTHER}))"
"""Condition of photos that a person, the value it takes, is given where two people decide."""


def settled_by_another(connection: sqlite3.Connection, photo: Any, who: str) -> bool:
    """Return whether one other person settled a photo, and this one has yet to say something."""
    if photo["state"] not in _SETTLED:
        return False
    found = connection.execute(
        f"SELECT 1 FROM photos WHERE id = ? AND {_ONE_OTHER}",  # noqa: S608
        (photo["id"], who),
    ).fetchone()
    return found is not None
