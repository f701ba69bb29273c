"""Everything that Maskwise raises for a user's mistake.

::

    MaskwiseError
    ├── SettingsError     a setting that is unknown, out of range or at odds with another
    ├── ManifestError     a manifest, or a source to import, that cannot be used as it is
    ├── LeakError         a person, or the same photo, stands in more than one fold
    ├── PhotoError        one photo that cannot be decoded
    ├── DetectorError     a face detector that cannot be had or is damaged
    ├── CameraError       a camera or a film that cannot be watched, or written
    ├── BackgroundError   the library or the model that removes backgrounds cannot be used
    ├── WeightsError      pretrained weights that cannot be had or do not fit
    ├── RunError          a run folder that is missing, damaged or of another version
    ├── TrainingError     training that cannot go on, such as a loss that is no number
    ├── WorkerError       a worker process that was killed
    └── StorageError      the disk is full or cannot be written

The command line prints the message and ends with exit code 2; nothing else is caught there.
"""

import difflib
from collections.abc import Iterable, Sequence


class MaskwiseError(Exception):
    """Base of all errors whose message is meant for the user."""


class SettingsError(MaskwiseError):
    """A setting that is unknown, out of range or at odds with another."""


class ManifestError(MaskwiseError):
    """A manifest, or a source to import, that cannot be used as it is."""


class LeakError(MaskwiseError):
    """A person, or the same photo, stands in more than one fold."""


class PhotoError(MaskwiseError):
    """One photo that cannot be decoded."""


class DetectorError(MaskwiseError):
    """A face detector that cannot be had or is damaged."""


class CameraError(MaskwiseError):
    """A camera or a film that cannot be watched, or written."""


class BackgroundError(MaskwiseError):
    """The library or the model that removes backgrounds cannot be used."""


class WeightsError(MaskwiseError):
    """Pretrained weights that cannot be had or do not fit the model."""


class RunError(MaskwiseError):
    """A run folder that is missing, damaged or of another version."""


class TrainingError(MaskwiseError):
    """Training that cannot go on."""


class WorkerError(MaskwiseError):
    """A worker process that was killed."""


class StorageError(MaskwiseError):
    """The disk is full or cannot be written."""


def did_you_mean(word: str, known: Iterable[str], most: int = 1) -> str:
    """Return the end of a message that names what a wrong word may have meant, or nothing.

    Example:
        >>> did_you_mean("Wer", ["wear", "not_wear"])
        '; did you mean wear?'
    """
    spelled = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), spelled, n=most)
    return f"; did you mean {' or '.join(spelled[name] for name in close)}?" if close else ""


def listed(problems: Sequence[str], limit: int = 10) -> str:
    """Return the problems one a line, indented, with a count of those past `limit`."""
    lines = [f"  - {problem}" for problem in problems[:limit]]
    if len(problems) > limit:
        lines.append(f"  ... and {len(problems) - limit} more")
    return "\n".join(lines)
