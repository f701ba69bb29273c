"""What commands share that let a model answer photos."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maskwise.cli.output import ViewsVote, console, note_boundaries, photo_bar, processes

if TYPE_CHECKING:
    from maskwise.data.frames import PhotoRef
    from maskwise.prediction.predictor import Predictor
    from maskwise.prediction.result import Prediction


def load_predictor(model: Path, device: str, views: str, views_vote: ViewsVote) -> "Predictor":
    """Load a model, and say what is unusual about its answers: their cost, other age groups."""
    from maskwise.prediction.predictor import Predictor

    predictor = Predictor.load(model, device, views, views_vote)
    note_boundaries(predictor.classifier.boundaries)
    if predictor.looks > 1:
        console().print(f"{predictor.looks} networks' looks at each photo")
    return predictor


def answered(
    predictor: "Predictor", photos: "Sequence[PhotoRef]", names: Sequence[str], workers: int
) -> "Iterator[Prediction]":
    """Yield the answers for photos in order, under a progress bar; workers below 0: one a core."""
    with photo_bar("answering", len(photos)) as advance:
        for answer in predictor.predict_files(photos, names, processes(workers)):
            advance(1)
            yield answer
