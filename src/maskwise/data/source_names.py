"""Names of sources: of copies of photos, and those that a user gives."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from maskwise.errors import ManifestError, did_you_mean, listed

COPY: Final = " (copy)"
"""What the source of changed copies, and of blends, of training photos ends with."""


def base_source(name: str) -> str:
    """Return the source that a photo, or the photo that it is a copy of, comes from."""
    return name.removesuffix(COPY)


def base_sources(frame: pl.DataFrame) -> pl.Series:
    """Return the source of each row, that of the original for a copy."""
    return frame["source"].str.strip_suffix(COPY)


def check_sources(frame: pl.DataFrame, names: Sequence[str], option: str) -> None:
    """Check that a manifest has photos of the named sources, and of another one beside them.

    Args:
        frame: A manifest.
        names: Sources that are to be left out.
        option: The option or setting that names them, for the message.

    Raises:
        ManifestError: A name is not in the manifest, or nothing would be left; all at once.
    """
    known = sorted(base_sources(frame).unique())
    problems = []
    for name in names:
        if name not in known:
            problems.append(f"no photo is of the source {name!r}{did_you_mean(name, known)}")
    if names and not set(known) - set(names):
        problems.append("every photo is of these sources: nothing is left to train on")
    if problems:
        raise ManifestError(
            f"{option}: the manifest has the sources {', '.join(known)}:\n{listed(problems)}"
        )
