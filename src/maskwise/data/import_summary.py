"""What an import found, used and passed over."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from maskwise.data.options import ImportOptions
from maskwise.errors import listed
from maskwise.labels import TASKS

_SHOWN = 3


def import_summary(frame: pl.DataFrame, options: ImportOptions) -> dict[str, Any]:
    """Return the counts of an import: photos, people, labels by task, and what was left out.

    Args:
        frame: The manifest that was made.
        options: The options of the import, with what it noted.
    """
    return {
        "photos": len(frame),
        "people": frame["person"].n_unique(),
        "labels": {
            task: {
                "known": len(frame) - frame[task].null_count(),
                "unknown": frame[task].null_count(),
            }
            for task in TASKS
        },
        "boxes": len(frame) - frame["box"].null_count(),
        "skipped": len(options.skipped),
        "no_age_label": len(options.ages_across),
        "passed_over": dict(options.passed_over),
        "unused_columns": options.unused_columns,
        "warnings": options.warnings,
    }


def summary_lines(summary: dict[str, Any]) -> dict[str, str]:
    """Return the counts as lines of a table: name -> text."""
    lines = {name: str(summary[name]) for name in ("photos", "people")}
    for task, counts in summary["labels"].items():
        lines[task.replace("_", " ")] = f"{counts['known']} known, {counts['unknown']} unknown"
    optional = {
        "boxes": str(summary["boxes"] or ""),
        "skipped": str(summary["skipped"] or ""),
        "columns not used": ", ".join(summary["unused_columns"]),
    }
    return lines | {name: text for name, text in optional.items() if text}


def messages(options: ImportOptions) -> Iterator[str]:
    """Yield what a person should read: what was left out, and what to check."""
    yield from (f"skipped {problem}" for problem in options.skipped)
    if options.ages_across:
        yield (
            f"{len(options.ages_across)} photos have no age label: their range of ages crosses a "
            f"boundary of age groups\n{listed(options.ages_across, limit=_SHOWN)}"
        )
    if options.passed_over:
        counts = (f"{count} {reason}" for reason, count in sorted(options.passed_over.items()))
        yield f"passed over: {', '.join(counts)}"
    yield from (f"warning: {warning}" for warning in options.warnings)
