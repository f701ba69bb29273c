"""Charts as SVG text, to stand inside an HTML page."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from maskwise.storage import replacing

_INK, _GRID, _BLUE, _ORANGE = "#24303d", "#d8dee6", "#2f6db5", "#d9822b"
_LINES = (_BLUE, _ORANGE, "#3a9a62", "#9b59b6", "#c0392b")


def confusion_chart(confusion: Sequence[Sequence[int]], names: Sequence[str], title: str) -> str:
    """Return a heat map of a confusion matrix: shares of each true class, counts as text."""
    counts = np.array(confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.42 * len(names)
    figure, axes = _figure(side + 1.2, side)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            dark = shares[row, column] > 0.5
            axes.text(
                column, row, str(count), ha="center", va="center", fontsize=6,
                color="white" if dark else _INK,
            )  # fmt: skip
    axes.set_xlabel("answered", fontsize=8)
    axes.set_ylabel("true", fontsize=8)
    axes.set_title(title, fontsize=9)
    return _svg(figure)


def risk_chart(points: Sequence[Mapping[str, float]], unsure_below: float) -> str:
    """Return accuracy by the share of photos answered, the surest first.

    A dot marks the share whose confidence reaches `unsure_below`.
    """
    figure, axes = _figure(4.2, 3.0)
    shares = [point["coverage"] for point in points]
    axes.plot(shares, [point["accuracy"] for point in points], color=_BLUE, linewidth=1.4)
    sure = [point for point in points if point["confidence"] >= unsure_below]
    if unsure_below and sure:
        axes.scatter([sure[-1]["coverage"]], [sure[-1]["accuracy"]], color=_ORANGE, s=30, zorder=3)
    axes.set(xlim=(0, 1.02))
    axes.set_xlabel("share of photos answered", fontsize=8)
    axes.set_ylabel("accuracy, 18 classes", fontsize=8)
    axes.set_title("when the unsure are left out", fontsize=9)
    return _svg(figure)


def reliability_chart(bins: Sequence[Mapping[str, float]], title: str) -> str:
    """Return a reliability diagram: accuracy against confidence, dots sized by photos."""
    figure, axes = _figure(3.2, 3.0)
    used = [entry for entry in bins if entry["photos"]]
    most = max((entry["photos"] for entry in used), default=1)
    axes.plot([0, 1], [0, 1], color=_GRID, linewidth=1)
    axes.plot(
        [entry["confidence"] for entry in used],
        [entry["accuracy"] for entry in used],
        color=_BLUE,
        linewidth=1,
    )
    axes.scatter(
        [entry["confidence"] for entry in used],
        [entry["accuracy"] for entry in used],
        s=[8 + 60 * entry["photos"] / most for entry in used],
        color=_BLUE,
    )
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    axes.set_xlabel("confidence", fontsize=8)
    axes.set_ylabel("accuracy", fontsize=8)
    axes.set_title(title, fontsize=9)
    return _svg(figure)


def curves_chart(history: Sequence[Mapping[str, float]], keys: Sequence[str], title: str) -> str:
    """Return one line per key over the epochs; keys that no epoch has are left out."""
    shown = [key for key in keys if any(key in figures for figures in history)]
    lines = {
        key.replace("_", " "): [(row["epoch"], row[key]) for row in history if key in row]
        for key in shown
    }
    return lines_chart(lines, title)


def lines_chart(lines: Mapping[str, Sequence[tuple[float, float]]], title: str) -> str:
    """Return lines of points (epoch, value), by name."""
    figure, axes = _figure(4.8, 3.0)
    for number, (name, points) in enumerate(lines.items()):
        style = ("-", "--", ":")[number // len(_LINES) % 3]
        colour = _LINES[number % len(_LINES)]
        axes.plot(
            *zip(*points, strict=True), style, marker="o", markersize=3, color=colour, label=name
        )
    axes.set_xlabel("epoch", fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(title, fontsize=9)
    if lines:
        axes.legend(fontsize=7, frameon=False)
    return _svg(figure)


def bars_chart(labels: Sequence[str], values: Sequence[float], title: str) -> str:
    """Return vertical bars."""
    figure, axes = _figure(4.6, 2.6)
    axes.bar(range(len(values)), values, color=_BLUE)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", fontsize=7)
    axes.set_title(title, fontsize=9)
    return _svg(figure)


def points_chart(points: Sequence[tuple[object, float]], title: str) -> str:
    """Return a dot for each value and its score; values that are no numbers stand side by side."""
    figure, axes = _figure(3.2, 2.6)
    numbers = [value for value, _ in points if _is_number(value)]
    if len(numbers) == len(points):
        positions = [float(value) for value in numbers]  # type: ignore[arg-type]
        if min(positions) > 0 and max(positions) > 50 * min(positions):
            axes.set_xscale("log")
    else:
        names = sorted({str(value) for value, _ in points})
        positions = [float(names.index(str(value))) for value, _ in points]
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=7)
    axes.scatter(positions, [score for _, score in points], color=_BLUE, s=12)
    axes.set_title(title, fontsize=9)
    return _svg(figure)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def write_rates(path: Path, rates: Sequence[float]) -> None:
    """Write a picture (PNG) of the learning rate at each step.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    figure, axes = _figure(6.4, 3.2)
    axes.plot(range(len(rates)), rates, color=_BLUE, linewidth=1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("step", fontsize=8)
    axes.set_title("learning rate of the heads", fontsize=9)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.tick_params(labelsize=7, colors=_INK, length=2)
    for edge in axes.spines.values():
        edge.set_color(_GRID)
    return figure, axes


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
