"""The page of a search of settings."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from maskwise.evaluation.charts import bars_chart, lines_chart, points_chart
from maskwise.evaluation.report import page_template
from maskwise.storage import write_text
from maskwise.version import __version__


def write_search(
    path: Path,
    history: Sequence[tuple[int, float]],
    values: Sequence[Mapping[str, Any]],
    found: Mapping[str, Any],
) -> None:
    """Write the history of a search, what each setting is worth, and its trials, best first.

    `history` holds number and score of each trial, `values` what was set in it; `found` is a
    dictionary of `experiments.settings_search.FoundSettings`.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    numbers = [number for number, _ in history]
    best = list(accumulate((score for _, score in history), max))
    lines = {
        "score": [(float(number), score) for number, score in history],
        "best so far": list(zip(map(float, numbers), best, strict=True)),
    }
    charts = [lines_chart(lines, "score by trial")]
    if found["importances"]:
        names = list(found["importances"])
        charts.append(bars_chart(names, list(found["importances"].values()), "importance"))
    for key in values[0]:
        points = [(value[key], score) for value, (_, score) in zip(values, history, strict=True)]
        charts.append(points_chart(points, key))
    rows = [
        {"number": number, "score": score, "values": value}
        for (number, score), value in zip(history, values, strict=True)
    ]
    page = page_template("search.html").render(
        rows=sorted(rows, key=lambda row: -float(row["score"])),
        keys=list(values[0]),
        charts=charts,
        found=found,
        version=__version__,
    )
    write_text(path, page)
