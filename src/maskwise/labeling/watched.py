"""Notices that a manifest is edited while people decide about what stood in it."""

from pathlib import Path

Stamp = tuple[int, int] | None
"""Time of the last change in ns and size in bytes; None: the file is gone."""


class WatchedManifest:
    """A manifest, as it is when this is made: before it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = _stamp(path)

    def notice(self) -> str | None:
        """Return what to tell people of a change since then, if there was one."""
        now = _stamp(self.path)
        if now == self._read:
            return None
        what = "is gone" if now is None else "was edited"
        return (
            f"{self.path.name} {what} since this page was started. Nothing that was decided is "
            "lost; stop maskwise label and start it again to see what the manifest says now."
        )


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
