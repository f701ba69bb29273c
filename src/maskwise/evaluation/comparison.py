"""The page of a comparison of recipes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskwise.evaluation.charts import lines_chart
from maskwise.evaluation.report import page_template
from maskwise.labels import TASKS
from maskwise.storage import write_text
from maskwise.version import __version__

_CURVES = {"score": "score on people never seen", "loss": "training loss"}


def write_comparison(path: Path, rows: Sequence[dict[str, Any]], about: dict[str, str]) -> None:
    """Write a table of recipes, best first, and the curves of their trainings.

    `rows` are dictionaries of `experiments.compare.Row`; `about` is shown as it is at the top.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    charts = [
        lines_chart(
            {
                row["recipe"]: [(figures["epoch"], figures[key]) for figures in row["history"]]
                for row in rows
                if row["history"] and all(key in figures for figures in row["history"])
            },
            title,
        )
        for key, title in _CURVES.items()
    ]
    page = page_template("comparison.html").render(
        rows=best_first(rows), tasks=list(TASKS), charts=charts, about=about, version=__version__
    )
    write_text(path, page)


def best_first(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows by macro-F1, falling; those that failed last."""
    return sorted(rows, key=lambda row: -1.0 if row["macro_f1"] is None else -row["macro_f1"] - 1)
