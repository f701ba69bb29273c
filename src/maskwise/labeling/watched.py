"""Notices that a manifest is edited while people decide about what stood in it."""

from pathlib import Path

from maskwise.storage import file_digest


class WatchedManifest:
    """A manifest, as it is when this is made: before it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp = _stamp(path)
        self._digest = _digest(path)

    def notice(self) -> str | None:
        """Return what to tell people of a change since then, if there was one."""
        now = _stamp(self.path)
        if now == self._stamp:
            return None
        if now and _digest(self.path) == self._digest:
            self._stamp = now  # written anew, as it was
            return None
        what = "was edited" if now else "cannot be read"
        return (
            f"{self.path.name} {what} since this page was started. Nothing that was decided is "
            "lost; stop maskwise label and start it again to see what the manifest says now."
        )


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return time of the last change in ns and size in bytes; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError:
        return ""
