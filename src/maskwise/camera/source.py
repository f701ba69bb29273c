"""Frames of a film, a device or a network camera, with their times."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
from PIL import Image

from maskwise.errors import CameraError

_LIVE: Final = ("rtsp://", "rtsps://", "http://", "https://", "udp://", "rtp://", "tcp://")
_DEVICES: Final = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}"),
    "win32": ("dshow", "video={}"),
}
"""Platform -> FFmpeg's format of cameras, and the name of one by its number."""
_PATIENCE: Final = 10.0
"""Seconds without a frame after which a camera counts as lost."""
_WAITS: Final = (1.0, 2.0, 5.0, 10.0)
"""Seconds between attempts to find a lost camera again; the last one is kept to."""


@dataclass(frozen=True)
class Frame:
    """A picture and when it was taken."""

    image: Image.Image
    seconds: float
    """Since the film's start; of a camera on the clock of `time.time`."""


def is_live(source: str) -> bool:
    """Return whether a source is a camera, not a film."""
    return source.isdigit() or source.startswith((*_LIVE, "/dev/"))


def film_frames(source: str, rate: float) -> Iterator[Frame]:
    """Yield the frames of a film, at most `rate` of each of its seconds.

    Raises:
        CameraError: there is none, or it cannot be read.
    """
    if not Path(source).is_file():
        raise CameraError(
            f"{source}: no film there, and no camera (0, /dev/video0, rtsp://HOST/PATH)"
        )
    following, shown = 0.0, 0
    with closing(_open(source)) as container:
        for picture in _pictures(container, source):
            seconds = float(picture.time) if picture.time is not None else shown / 25
            shown += 1
            if seconds + 1e-6 >= following:
                following = max(following + 1 / rate, seconds)
                yield Frame(picture.to_image(), seconds)
    if not shown:
        raise CameraError(f"{source} has no picture")


def live_frames(source: str, rate: float, told: Callable[[str], None]) -> Iterator[Frame]:
    """Yield the newest frame of a camera whenever one is asked for, at most `rate` a second.

    A camera that is lost is sought again, for ever; one that was never there is an error.

    Raises:
        CameraError: there is no such camera.
    """
    attempt, seen = 0, False
    while True:
        try:
            with closing(_Newest(source)) as newest:
                while True:
                    started = time.monotonic()
                    frame = newest.frame()
                    attempt, seen = 0, True
                    yield frame
                    time.sleep(max(1 / rate - (time.monotonic() - started), 0))
        except CameraError as error:
            if not seen:
                raise
            wait = _WAITS[min(attempt, len(_WAITS) - 1)]
            attempt += 1
            told(f"{error}; trying again in {wait:g} s")
            time.sleep(wait)


class _Newest:
    """A thread that reads a camera, so that what is old is never waited for."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._container = _open(source)
        self._fresh = threading.Condition()
        self._frame: Frame | None = None
        self._error: CameraError | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def frame(self) -> Frame:
        """Return the newest frame that was not returned before.

        Raises:
            CameraError: the camera is lost.
        """
        with self._fresh:
            self._fresh.wait_for(lambda: self._frame or self._error, _PATIENCE)
            frame, self._frame = self._frame, None
            if frame is None:
                raise self._error or CameraError(f"{self._source}: no picture for {_PATIENCE:g} s")
        return frame

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._thread.join(_PATIENCE)

    def _read(self) -> None:
        try:
            with closing(self._container):
                for picture in _pictures(self._container, self._source):
                    if self._closed:
                        return
                    self._tell(Frame(picture.to_image(), time.time()), None)
            self._tell(None, CameraError(f"{self._source}: the camera ended"))
        except CameraError as error:
            self._tell(None, error)

    def _tell(self, frame: Frame | None, error: CameraError | None) -> None:
        with self._fresh:
            self._frame, self._error = frame or self._frame, error
            self._fresh.notify()


def _open(source: str) -> Any:
    options, kind = {}, None
    if source.startswith("rtsp"):
        options = {"rtsp_transport": "tcp"}
    place = source
    if source.isdigit() or source.startswith("/dev/"):
        kind, named = _DEVICES.get(sys.platform, (None, "{}"))
        place = named.format(source) if source.isdigit() else source
    try:
        return av.open(place, format=kind, options=options, timeout=_PATIENCE)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CameraError(f"{source} cannot be opened as a camera or film: {reason}") from error


def _pictures(container: Any, source: str) -> Iterator[Any]:
    try:
        yield from container.decode(video=0)
    except (av.FFmpegError, IndexError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CameraError(f"{source}: no picture can be read: {reason}") from error
