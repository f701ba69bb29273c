"""Pseudo-labels: of the photos that a model is sure of, as many of each class."""

import pytest

from maskwise.data.frames import PhotoRef
from maskwise.labels import NUM_CLASSES
from maskwise.prediction.pseudo import pseudo_manifest
from maskwise.prediction.result import Prediction


def answer(number: int, klass: int, confidence: float) -> Prediction:
    rest = (1 - confidence) / (NUM_CLASSES - 1)
    classes = [rest] * NUM_CLASSES
    classes[klass] = confidence
    return Prediction(f"{number}.png", klass, "wear", "male", "young", classes=tuple(classes))


@pytest.mark.parametrize(
    ("least", "per_class", "kept"),
    [
        (0.0, False, [0, 1, 2, 3, 4, 6]),
        (0.8, False, [1, 2, 4, 6]),
        (0.0, True, [1, 3, 4, 6]),  # the surest two of each class
        (0.8, True, [1, 4]),
        (0.9, True, [1, 4]),  # as sure as asked is sure enough
    ],
)
def test_the_surest_of_each_class_are_kept(least: float, per_class: bool, kept: list[int]) -> None:
    answers = [
        answer(0, 0, 0.5), answer(1, 0, 0.9), answer(2, 0, 0.8), answer(3, 5, 0.6),
        answer(4, 5, 0.95), Prediction("5.png", error="no photo"), answer(6, 0, 0.85),
    ]  # fmt: skip
    photos = [PhotoRef(f"/made/{number}.png") for number in range(7)]
    made = pseudo_manifest(answers, photos, least, per_class, 3)
    assert made.frame["photo"].to_list() == [f"/made/{number}.png" for number in kept]
    assert (made.answered, made.unreadable) == (7, 1)
    assert sum(made.kept.values()) == len(kept)
    assert set(made.frame["source"]) == {"pseudo-3"}
    assert set(made.frame["fold"]) == {"pseudo"}
