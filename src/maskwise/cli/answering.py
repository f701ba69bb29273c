"""What commands share that let a model answer photos."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from maskwise.cli.output import ViewsVote, console, note_boundaries, photo_bar

if TYPE_CHECKING:
    from maskwise.data.frames import PhotoRef
    from maskwise.prediction.predictor import Predictor
    from maskwise.prediction.result import Prediction


_FACES: Final = 1000
"""Faces of one photo that are answered: all that a crowd may have."""


def load_predictor(model: Path, device: str, views: str, views_vote: ViewsVote) -> "Predictor":
    """Load a model, and say what is unusual about its answers: their cost, other age groups."""
    from maskwise.models.loading import SHIPPED
    from maskwise.prediction.predictor import Predictor

    predictor = Predictor.load(model, device, views, views_vote)
    note_boundaries(predictor.classifier.boundaries)
    usual = model == SHIPPED and predictor.views.count == 1
    if predictor.looks > 1 and not usual:
        console().print(f"{predictor.looks} networks' looks at each photo")
    return predictor


def every_face(
    predictor: "Predictor", photos: "Sequence[tuple[str, PhotoRef]]"
) -> "Iterator[Prediction]":
    """Yield the answers for every face in photos, each photo once; one without a face says so."""
    from dataclasses import replace

    from maskwise.errors import PhotoError
    from maskwise.prediction.result import Prediction

    predictor.check_finds_faces()
    # a manifest names a photo for each box in it
    names = {photo.path: name if photo.box is None else photo.path for name, photo in photos}
    with photo_bar("answering", len(names)) as advance:
        for path, name in names.items():
            try:
                found = predictor.predict_faces(path, most=_FACES)
                answers = [replace(answer, photo=name) for answer in found]
            except PhotoError as error:
                answers = [Prediction(name, error=str(error))]
            yield from answers or [Prediction(name, no_face=True)]
            advance(1)


def answered(
    predictor: "Predictor", photos: "Sequence[PhotoRef]", names: Sequence[str], workers: int
) -> "Iterator[Prediction]":
    """Yield the answers for photos in order, under a progress bar; workers below 0: one a core."""
    with photo_bar("answering", len(photos)) as advance:
        for answer in predictor.predict_files(photos, names, workers):
            advance(1)
            yield answer
