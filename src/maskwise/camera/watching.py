"""From frames to passes, and to a film if one is wanted."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from maskwise.camera.film import FilmWriter, annotated
from maskwise.camera.source import Frame
from maskwise.prediction.passes import Pass, Watch
from maskwise.prediction.predictor import Predictor


def watch_frames(
    predictor: Predictor,
    frames: Iterable[Frame],
    passed: Callable[[Pass], None],
    film: FilmWriter | None = None,
    faces: int = 50,
) -> Watch:
    """Follow people through frames; return what was seen when they end.

    `passed` is told of each person who has gone, and at the end, Ctrl-C included, of those still in
    sight. Of more than `faces` in a frame the smallest are left out.
    """
    watch = Watch()
    try:
        for frame in frames:
            found = predictor.predict_faces(frame.image, faces)
            for one in watch.see(found, frame.seconds):
                passed(one)
            if film is not None:
                film.write(annotated(frame.image, watch.people, watch.hidden), frame.seconds)
    except KeyboardInterrupt:
        pass  # the way in which watching a camera ends
    for one in watch.end():
        passed(one)
    return watch


def pass_row(one: Pass, live: bool) -> dict[str, Any]:
    """Return a pass as a row of a table: times of a camera as ISO 8601, of a film in seconds."""
    began, ended = (
        datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds") if live else round(at, 3)
        for at in (one.began, one.ended)
    )
    return {
        "number": one.number,
        "state": one.state,
        "probability": round(one.probability, 4),
        "began": began,
        "ended": ended,
        "seconds": round(one.ended - one.began, 3),
        "frames": one.frames,
    }
