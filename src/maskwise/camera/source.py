"""Frames of a film, a device or a network camera, with their times."""

import re
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

_LOGIN: Final = re.compile(r"//.*@")
"""The user and password of an address, to its last @: more is hidden rather than less."""
_QUERIED: Final = re.compile(
    r"([\w.-]*(?:pas|pwd?|psw|token|key|auth|secret|sig|cred)[\w.-]*=)[^&\s]*", re.IGNORECASE
)
"""A value of an address that only its camera should know."""
_LIVE: Final = ("rtsp://", "rtsps://", "http://", "https://", "udp://", "rtp://", "tcp://")
_DEVICES: Final = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}"),
    "win32": ("dshow", "video={}"),
}
"""Platform -> FFmpeg's format of cameras, and the name of one by its number."""
_PATIENCE: Final = 10.0
"""Seconds without a frame after which a camera counts as lost."""
_USUAL_RATE: Final = 25
"""Pictures a second of a film that does not time them."""
_FALLEN: Final = 0.5
"""Seconds by which the time falls back where another recording begins."""
_TURNS: Final = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}
"""Degrees against the clock -> what turns a picture by them."""
_WAITS: Final = (1.0, 2.0, 5.0, 10.0)
"""Seconds between attempts to find a lost camera again; the last one is kept to."""


@dataclass(frozen=True)
class Frame:
    """A picture and when it was taken."""

    image: Image.Image
    seconds: float
    """Since the film's start; of a camera since 1970. It never goes back."""


def is_live(source: str) -> bool:
    """Return whether a source is a camera, not a film."""
    return source.isdigit() or source.lower().startswith((*_LIVE, "/dev/"))


def without_password(source: str) -> str:
    """Return a source without its password: it would be read over shoulders, and in logs.

    Example:
        >>> without_password("rtsp://door:secret@10.0.0.7/1?pwd=secret&channel=2")
        'rtsp://***@10.0.0.7/1?pwd=***&channel=2'
    """
    return _QUERIED.sub(r"\1***", _LOGIN.sub("//***@", source))


def film_frames(source: str, rate: float, told: Callable[[str], None]) -> Iterator[Frame]:
    """Yield the frames of a film, at most `rate` of each of its seconds.

    Damaged pictures are skipped, and `told` at the end how many. Where the time falls back, as in
    recordings that were joined, it goes on from where it was.

    Raises:
        CameraError: there is none, or no picture of it can be read.
    """
    if not Path(source).is_file():
        raise CameraError(
            f"{without_password(source)}: no film there, and no camera (0, /dev/video0, rtsp://HOST/PATH)"
        )
    following, shown, damaged = 0.0, 0, 0
    last, later = 0.0, 0.0
    with closing(_open(source)) as container:
        for picture in _pictures(container, source, live=False):
            if picture is None:
                damaged += 1
                continue
            seconds = float(picture.time) if picture.time is not None else shown / _USUAL_RATE
            if seconds + later < last - _FALLEN:
                later = last + 1 / _USUAL_RATE - seconds
            last = seconds + later
            shown += 1
            if last + 1e-6 >= following:
                following = max(following + 1 / rate, last)
                yield Frame(_upright(picture), last)
    if not shown:
        raise CameraError(f"{without_password(source)} has no picture that can be read")
    if damaged:
        told(f"{without_password(source)}: {damaged} damaged parts were skipped")


def live_frames(source: str, rate: float, told: Callable[[str], None]) -> Iterator[Frame]:
    """Yield the newest frame of a camera whenever one is asked for, at most `rate` a second.

    A camera that is lost is sought again, for ever; one that was never there is an error.

    Raises:
        CameraError: there is no such camera.
    """
    attempt, seen = 0, False
    began = time.time() - time.monotonic()  # once, as the clock may be set while people are seen
    while True:
        try:
            with closing(_Newest(source, began)) as newest:
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

    def __init__(self, source: str, began: float) -> None:
        self._source = source
        self._began = began
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
                raise self._error or CameraError(
                    f"{without_password(self._source)}: no picture for {_PATIENCE:g} s"
                )
        return frame

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._thread.join(_PATIENCE)

    def _read(self) -> None:
        try:
            with closing(self._container):
                for picture in _pictures(self._container, self._source, live=True):
                    if self._closed:
                        return
                    if picture is not None:
                        seconds = self._began + time.monotonic()
                        self._tell(Frame(_upright(picture), seconds), None)
            self._tell(None, CameraError(f"{without_password(self._source)}: the camera ended"))
        except CameraError as error:
            self._tell(None, error)

    def _tell(self, frame: Frame | None, error: CameraError | None) -> None:
        with self._fresh:
            self._frame, self._error = frame or self._frame, error
            self._fresh.notify()


def _open(source: str) -> Any:
    options, kind = {}, None
    if source.lower().startswith("rtsp"):
        options = {"rtsp_transport": "tcp"}
    place = source
    if source.isdigit() or source.startswith("/dev/"):
        kind, named = _DEVICES.get(sys.platform, (None, "{}"))
        place = named.format(source) if source.isdigit() else source
    try:
        return av.open(place, format=kind, options=options, timeout=_PATIENCE)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CameraError(
            f"{without_password(source)} cannot be opened as a camera or film: {reason}"
        ) from error


def _pictures(container: Any, source: str, live: bool) -> Iterator[Any]:
    """Yield the pictures as they are decoded, and None for a damaged part.

    Raises:
        CameraError: there is no track of pictures, or a camera is lost.
    """
    try:
        (track,) = container.streams.video[:1]
    except ValueError as error:
        raise CameraError(f"{without_password(source)} has no picture that can be read") from error
    packets = container.demux(track)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            if not live:  # cut short
                yield None
                return
            reason = getattr(error, "strerror", None) or error
            raise CameraError(
                f"{without_password(source)}: no picture can be read: {reason}"
            ) from error
        if packet is None:
            return
        try:
            pictures = packet.decode()
        except av.FFmpegError:
            pictures = [None]
        yield from pictures


def _upright(picture: Any) -> Image.Image:
    """Return a picture as its film says that it is to be shown: phones only note how to turn it."""
    image: Image.Image = picture.to_image()
    turn = _TURNS.get(round(picture.rotation) % 360)
    return image if turn is None else image.transpose(turn)
