"""How far the labelling is, how fast it goes, and how well two people agree."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import combinations, pairwise
from typing import Any, Final

from maskwise.labeling.schema import STANDING, STATES
from maskwise.labeling.store import Store
from maskwise.labels import TASKS

PAUSE: Final = 60.0
"""Seconds between two decisions from which on the time between them does not count as work."""
_LAST: Final = 200
"""Decisions of a person that the speed is taken from."""


def progress(store: Store) -> dict[str, Any]:
    """Return the photos by state, and each person's decisions and speed.

    Raises:
        StorageError: the file is locked or damaged.
    """
    with store.reading() as connection:
        counted = dict(
            connection.execute(
                "SELECT state, COUNT(*) FROM photos WHERE gone = 0 GROUP BY state"
            ).fetchall()
        )
        people = connection.execute(
            f"SELECT who, COUNT(*) AS decisions FROM events WHERE {STANDING} "  # noqa: S608
            "GROUP BY who ORDER BY who"
        ).fetchall()
        speeds = {
            row["who"]: _speed(
                [
                    event["at"]
                    for event in connection.execute(
                        "SELECT at FROM events WHERE who = ? ORDER BY id DESC LIMIT ?",
                        (row["who"], _LAST),
                    )
                ]
            )
            for row in people
        }
    return {
        "photos": sum(counted.values()),
        "states": {state: counted.get(state, 0) for state in STATES},
        "people": [
            {"who": row["who"], "decisions": row["decisions"], "a_minute": speeds[row["who"]]}
            for row in people
        ],
    }


def _speed(times: Sequence[str]) -> float | None:
    """Return decisions a minute of work; `times` are the last ones', newest first."""
    moments = [datetime.fromisoformat(time).timestamp() for time in reversed(times)]
    gaps = [after - before for before, after in pairwise(moments)]
    work = [gap for gap in gaps if gap < PAUSE]
    return round(60 * len(work) / sum(work), 1) if sum(work) > 0 else None


def agreement(store: Store) -> list[dict[str, Any]]:
    """Return for each two people and task, over the photos that both decided about, their kappa.

    What counts is what each said last of a photo that was not disputed: who settles a dispute knows
    what the others said. Photos that either would take out are left out. Opinions are independent
    only where each photo is asked of two people, `twice`.

    Raises:
        StorageError: the file is locked or damaged.
    """
    opinions: dict[str, dict[int, dict[str, str | None]]] = defaultdict(dict)
    with store.reading() as connection:
        for row in connection.execute(
            f"SELECT photo, who, action, labels, changes FROM events WHERE {STANDING} "  # noqa: S608
            "ORDER BY id"
        ):
            if json.loads(row["changes"])["state"][0] == "disputed":
                continue
            if row["action"] in ("accept", "label"):
                opinions[row["who"]][row["photo"]] = json.loads(row["labels"])
            else:
                opinions[row["who"]].pop(row["photo"], None)
    found = []
    for first, second in combinations(sorted(opinions), 2):
        both = sorted(opinions[first].keys() & opinions[second].keys())
        for task in TASKS if both else ():
            pairs = [
                (opinions[first][photo][task], opinions[second][photo][task]) for photo in both
            ]
            found.append({"first": first, "second": second, "task": task, **_agreement(pairs)})
    return found


def _agreement(pairs: Sequence[tuple[str | None, str | None]]) -> dict[str, Any]:
    same = sum(first == second for first, second in pairs) / len(pairs)
    return {"photos": len(pairs), "same": round(same, 4), "kappa": kappa(pairs)}


def kappa(pairs: Sequence[tuple[str | None, str | None]]) -> float | None:
    """Return Cohen's kappa (Cohen, A coefficient of agreement for nominal scales, 1960).

    1 is full agreement, 0 what chance gives; None where both always say the same one word.
    """
    count = len(pairs)
    same = sum(first == second for first, second in pairs) / count
    firsts, seconds = (Counter(side) for side in zip(*pairs, strict=True))
    chance = sum(firsts[word] * seconds[word] for word in firsts) / count**2
    return None if chance == 1 else round((same - chance) / (1 - chance), 4)
