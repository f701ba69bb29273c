"""One self-contained HTML page for an evaluation."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from maskwise.data.shortcuts import ADVICE
from maskwise.errors import RunError
from maskwise.evaluation.charts import (
    bars_chart,
    confusion_chart,
    curves_chart,
    reliability_chart,
    risk_chart,
)
from maskwise.evaluation.sources import CLASSES, COVERAGE
from maskwise.labels import TASKS
from maskwise.storage import write_text
from maskwise.transforms.decode import decode_photo
from maskwise.transforms.preprocess import Box
from maskwise.version import __version__

_THUMBNAIL = 128
_TASK_TITLES = {"mask": "Mask", "gender": "Gender", "age_group": "Age group"}


def write_report(
    path: Path,
    scores: dict[str, Any],
    mistakes: Sequence[dict[str, Any]],
    about: dict[str, str],
    history: Sequence[dict[str, float]] = (),
    pictures: Mapping[str, Path] | None = None,
) -> None:
    """Write the report of the scores of an `Evaluation`.

    `mistakes` are dictionaries with photo (a path), box (or None), task, truth, answer, confidence
    and heat (a picture of what the answer hangs on, or None); `about` is shown as it is at the
    top; `history` holds the figures of each epoch, where they are known; `pictures` (title -> file)
    are shown at the end.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
        PhotoError: a mistaken photo cannot be read.
    """
    pictured = [
        {
            **mistake,
            "picture": thumbnail(mistake["photo"], mistake["box"]),
            "heat": mistake["heat"] and _address(mistake["heat"]),
        }
        for mistake in mistakes
    ]
    page = page_template("report.html").render(
        scores=scores,
        about=about,
        task_titles=_TASK_TITLES,
        source_titles={**_TASK_TITLES, CLASSES: "18 classes"},
        coverage=COVERAGE,
        charts=_charts(scores, history),
        mistakes={task: [m for m in pictured if m["task"] == task] for task in TASKS},
        pictures={title: _whole(picture) for title, picture in (pictures or {}).items()},
        version=__version__,
    )
    write_text(path, page)


def write_stats(path: Path, stats: dict[str, Any], title: str) -> None:
    """Write the page of `manifest_stats`.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    ages = stats["ages"]
    chart = bars_chart(
        [f"{decade['from']}-{decade['to']}" for decade in ages],
        [decade["photos"] for decade in ages],
        "photos by age",
    )
    page = page_template("stats.html").render(
        stats=stats,
        title=title,
        advice=ADVICE,
        chart=chart,
        version=__version__,
        task_titles=_TASK_TITLES,
    )
    write_text(path, page)


def read_history(run: Path) -> list[dict[str, float]]:
    """Return the figures of each epoch of a run folder; empty where there are none.

    Raises:
        RunError: the file is damaged.
    """
    path = run / "metrics.jsonl"
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}; maskwise train --resume repairs it") from error


def thumbnail(photo: str | Path, box: Box | None = None) -> str:
    """Return a photo, or the part in a box, as a small JPEG in a data: address.

    Raises:
        PhotoError: the photo cannot be read.
    """
    image = decode_photo(photo)
    return _address(image.crop(box) if box else image)


def _whole(picture: Path) -> str:
    kind = picture.suffix.removeprefix(".")
    return f"data:image/{kind};base64,{base64.b64encode(picture.read_bytes()).decode()}"


def _address(picture: Image.Image) -> str:
    image = picture.copy()
    image.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def page_template(name: str) -> jinja2.Template:
    """Return a template of a page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("maskwise.evaluation"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda share: "" if share is None else f"{100 * share:.1f}"
    return environment.get_template(name)


def _charts(scores: dict[str, Any], history: Sequence[dict[str, float]]) -> dict[str, list[str]]:
    tasks = [
        (_TASK_TITLES[task], scores["tasks"][task])
        for task in TASKS
        if scores["tasks"][task]["photos"]
    ]
    confusions = [
        confusion_chart(figures["confusion"], figures["names"], title) for title, figures in tasks
    ]
    classes = scores["classes"]
    if classes["photos"]:
        confusions.append(confusion_chart(classes["confusion"], classes["names"], "18 classes"))
    reliabilities = [reliability_chart(figures["reliability"], title) for title, figures in tasks]
    curves = []
    if history:
        curves = [
            curves_chart(history, ["loss"], "training loss"),
            curves_chart(
                history,
                ["macro_f1", *[f"{task}_balanced_accuracy" for task in TASKS]],
                "validation",
            ),
        ]
    points = scores["risk_coverage"]
    risks = [risk_chart(points, scores["unsure_below"])] if points else []
    return {
        "confusions": confusions,
        "reliabilities": reliabilities,
        "curves": curves,
        "risks": risks,
    }
