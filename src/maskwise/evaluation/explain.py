"""What an answer hangs on: parts of the face are covered, and what that changes is seen.

Occlusion maps (Zeiler and Fergus, 2014, 'Visualizing and Understanding Convolutional Networks',
section 4.2) need no more of a model than its answers, so every kind of model has them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from maskwise.labels import TASKS
from maskwise.models.classifier import Classifier
from maskwise.models.views import Views
from maskwise.transforms.preprocess import OUTSIDE

_PATCH: Final = 0.25
"""Side of what is covered, in shares of the frame's."""
_BATCH: Final = 64
_STRONG: Final = 0.05
"""A map whose largest value is below this is drawn faint: the answer hangs on no single part."""
_HEAT: Final = np.array([(0, 0, 0), (180, 0, 0), (255, 140, 0), (255, 255, 160)], np.float32)
"""Colours from nothing to most."""

Map = NDArray[np.float32]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class HeatMap:
    """What the answer to one task hangs on."""

    task: str
    word: str
    """The answer."""
    probability: float
    values: Map
    """(height, width) of the frame: what the probability loses where a part is covered."""


def occlusion_maps(
    classifier: Classifier, frames: Mapping[str, Pixels], tasks: Sequence[str], grid: int = 12
) -> list[HeatMap]:
    """Return a map for each task, of one photo framed each way (height, width, 3).

    A grey square a quarter of the frame's side wide stands at each of grid x grid places in turn;
    a pixel's value is the mean loss of probability over the squares that cover it.
    """
    first = next(iter(frames.values()))
    height, width = first.shape[:2]
    places = [(row, column) for row in range(grid) for column in range(grid)]
    covered = {key: np.stack([frame, *_covered(frame, grid)]) for key, frame in frames.items()}
    answers: dict[str, list[Map]] = {task: [] for task in TASKS}
    for start in range(0, len(places) + 1, _BATCH):
        part = {key: stack[start : start + _BATCH] for key, stack in covered.items()}
        found = classifier.decision.calibrated(classifier.answer(part, Views()))
        for task in TASKS:
            answers[task].append(found.tasks[task])
    maps = []
    for task in tasks:
        probabilities = np.concatenate(answers[task])
        word = int(probabilities[0].argmax())
        whole = float(probabilities[0, word])
        sums, counts = np.zeros((2, height, width), np.float32)
        for place, share in zip(places, probabilities[1:, word], strict=True):
            rows, columns = _square(place, grid, height, width)
            sums[rows, columns] += whole - share
            counts[rows, columns] += 1
        values = (sums / np.maximum(counts, 1)).astype(np.float32)
        maps.append(HeatMap(task, TASKS[task][word], whole, values))
    return maps


def _covered(frame: Pixels, grid: int) -> list[Pixels]:
    made = []
    for row in range(grid):
        for column in range(grid):
            one = frame.copy()
            one[_square((row, column), grid, *frame.shape[:2])] = OUTSIDE
            made.append(one)
    return made


def _square(place: tuple[int, int], grid: int, height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns that are covered; the squares reach into every corner."""
    slices = []
    for number, side in zip(place, (height, width), strict=True):
        patch = max(round(_PATCH * side), 1)
        start = round(number * (side - patch) / max(grid - 1, 1))
        slices.append(slice(start, start + patch))
    return slices[0], slices[1]


def heat_picture(frame: Pixels, values: Map) -> Image.Image:
    """Return a frame in grey with a map laid over it: dark red to white where it matters most."""
    most = max(float(values.max()), _STRONG)
    shares = np.clip(values / most, 0, 1)[..., None]
    stops = shares * (len(_HEAT) - 1)
    low = np.minimum(stops.astype(int), len(_HEAT) - 2)
    colours = _HEAT[low[..., 0]] * (1 - (stops - low)) + _HEAT[low[..., 0] + 1] * (stops - low)
    grey = np.repeat(np.asarray(Image.fromarray(frame).convert("L"))[..., None], 3, axis=2)
    mixed = grey * (1 - 0.65 * shares) + colours * 0.65 * shares
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def explanation_sheet(frame: Pixels, maps: Sequence[HeatMap], side: int = 256) -> Image.Image:
    """Return the frame and its maps side by side, each with its answer below it."""
    font = ImageFont.load_default(side // 14)
    line = side // 9
    pictures = [(Image.fromarray(frame), "the face as the model sees it")]
    pictures += [
        (heat_picture(frame, one.values), f"{one.word} {100 * one.probability:.0f} %")
        for one in maps
    ]
    height = round(side * frame.shape[0] / frame.shape[1])
    sheet = Image.new("RGB", (len(pictures) * side, height + line), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (picture, words) in enumerate(pictures):
        sheet.paste(picture.resize((side, height), Image.Resampling.BICUBIC), (number * side, 0))
        pen.text((number * side + 6, height + line // 8), words.replace("_", " "), "black", font)
    return sheet
