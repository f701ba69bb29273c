"""Names of sources that a user gives, checked against those of a manifest."""

import difflib
from collections.abc import Sequence

import polars as pl

from maskwise.errors import ManifestError, listed


def check_sources(frame: pl.DataFrame, names: Sequence[str], option: str) -> None:
    """Check that a manifest has photos of the named sources, and of another one beside them.

    Args:
        frame: A manifest.
        names: Sources that are to be left out.
        option: The option or setting that names them, for the message.

    Raises:
        ManifestError: A name is not in the manifest, or nothing would be left; all at once.
    """
    known = sorted(frame["source"].unique())
    problems = []
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            problems.append(f"no photo is of the source {name!r}{hint}")
    if names and not set(known) - set(names):
        problems.append("every photo is of these sources: nothing is left to train on")
    if problems:
        raise ManifestError(
            f"{option}: the manifest has the sources {', '.join(known)}:\n{listed(problems)}"
        )
