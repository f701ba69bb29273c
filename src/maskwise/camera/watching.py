"""From frames to passes, and to a film if one is wanted."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from maskwise.camera.film import FilmWriter, annotated
from maskwise.camera.source import Frame
from maskwise.errors import CameraError
from maskwise.prediction.passes import Pass, Watch
from maskwise.prediction.predictor import Predictor

PASS_COLUMNS: Final = ("number", "state", "probability", "began", "ended", "seconds", "frames")
_EVERY: Final = 1000
"""Faces of a frame that are blurred: all that a crowd may have."""


def watch_frames(
    predictor: Predictor,
    frames: Iterable[Frame],
    passed: Callable[[Pass], None],
    film: FilmWriter | None = None,
    faces: int = 50,
) -> Watch:
    """Follow people through frames; return what was seen when they end.

    `passed` is told of each person who has gone, and at the end, Ctrl-C and lost films included, of
    those still in sight. Of more than `faces` in a frame those that are least large and central are
    not followed, but blurred in the film.

    Raises:
        CameraError: the frames cannot be read.
        SettingsError: the model finds no faces.
    """
    watch = Watch()
    most = faces if film is None else _EVERY
    try:
        for frame in frames:
            found = predictor.frame_faces(frame.image, most)[0]
            followed = found[:faces]
            answers = predictor.answer_frames([""] * len(followed), followed)
            for one in watch.see(answers, frame.seconds):
                passed(one)
            if film is not None:
                others = [framed[0].box for framed in found[faces:] if framed[0].box]
                hidden = [*watch.hidden, *others]
                film.write(annotated(frame.image, watch.people, hidden), frame.seconds)
    except KeyboardInterrupt:
        pass  # the way in which watching a camera ends
    except CameraError:
        _end(watch, passed)
        raise
    _end(watch, passed)
    return watch


def _end(watch: Watch, passed: Callable[[Pass], None]) -> None:
    for one in watch.end():
        passed(one)


def pass_row(one: Pass, live: bool) -> dict[str, Any]:
    """Return a pass as a row of a table: times of a camera as ISO 8601, of a film in seconds."""
    began, ended = (
        datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds") if live else round(at, 3)
        for at in (one.began, one.ended)
    )
    probability, seconds = round(one.probability, 4), round(one.ended - one.began, 3)
    row = (one.number, one.state, probability, began, ended, seconds, one.frames)
    return dict(zip(PASS_COLUMNS, row, strict=True))
