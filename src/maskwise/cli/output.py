"""What commands share: arguments, and printing results to stdout, the way there to stderr."""

import codecs
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console


_ESCAPED: Final = "maskwise.escaped"
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a manifest that is there.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
ViewsName = Annotated[
    str,
    typer.Option(
        "--views", help="Looks at each photo, averaged: 1, flip, 4, 8, or random:N as in training."
    ),
]
ViewsVote = Annotated[
    Literal["soft", "hard"],
    typer.Option(help="Views' mean of probabilities (soft), or vote of answers (hard)."),
]
ManifestPath = Annotated[Path, typer.Argument(metavar="MANIFEST", help="A .csv or .parquet file.")]
Run = Annotated[
    Path | None,
    typer.Argument(metavar="RUN", help="A run folder or a model folder; else SM_CHANNEL_MODEL."),
]


def show_every_character() -> None:
    """Let standard output and error write what their encoding lacks as an escape.

    Bytes of file names that are no text are written as they are.
    """
    codecs.register_error(_ESCAPED, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_ESCAPED)


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    written = (
        bytes([ord(char) - 0xDC00])
        if 0xDC80 <= ord(char) <= 0xDCFF  # how Python keeps such a byte
        else char.encode("ascii", "backslashreplace")
        for char in error.object[error.start : error.end]
    )
    return b"".join(written), error.end


def console() -> "Console":
    """Return the console for progress and remarks: standard error."""
    from rich.console import Console

    return Console(stderr=True, markup=False, emoji=False, highlight=False)


def note_boundaries(boundaries: Sequence[int]) -> None:
    """Say so where a model answers other age groups than the competition's."""
    from maskwise.labels import TASK_BOUNDARIES, age_group_text

    if tuple(boundaries) != tuple(TASK_BOUNDARIES):
        groups = ", ".join(age_group_text(w, tuple(boundaries)) for w in ("young", "middle", "old"))
        console().print(
            f"note: the model's age groups are {groups}, not those of the 18 classes as others use "
            "them",
            soft_wrap=True,
        )


def keep_existing(out: Path, force: bool) -> None:
    """Refuse to replace a manifest, which may hold edits and folds, unless asked to.

    Raises:
        ManifestError: it is there, or its name does not say what kind of file it is.
    """
    from maskwise.errors import ManifestError

    if out.suffix not in (".csv", ".parquet"):
        raise ManifestError(f"{out}: expected a name that ends in .csv or .parquet")
    if out.exists() and not force:
        raise ManifestError(f"{out} is there already; name another file, or add --force")


def end_like_an_interrupt() -> None:
    """Let a plain kill end this command like Ctrl-C: what it started is stopped too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def print_json(value: Any) -> None:
    """Print a value as JSON to standard output, in escapes where its encoding lacks a character."""
    text = json_text(value)
    try:
        text.encode(sys.stdout.encoding or "utf-8", "surrogateescape")
    except UnicodeEncodeError:
        text = json_text(value, ascii_only=True)
    typer.echo(text)


def json_text(value: Any, ascii_only: bool = False) -> str:
    """Return a value as JSON."""
    return json.dumps(value, indent=2, ensure_ascii=ascii_only, allow_nan=False, default=str)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table to standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*[Text("" if value is None else _text(value)) for value in row])
    out = Console()
    # a table cut to fit would hide figures from a pipe
    whole = Console(width=None if sys.stdout.isatty() else max(out.width, 160))
    whole.print(Text(f"\n{title}", style="bold"), soft_wrap=True)  # not cut to the table's width
    whole.print(table)


def _text(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def print_pairs(title: str, pairs: Mapping[str, object]) -> None:
    """Print names and values to standard output."""
    print_table(title, ["", ""], list(pairs.items()))


@contextmanager
def photo_bar(what: str, total: int | None) -> "Iterator[Callable[[int], None]]":
    """Show a progress bar over photos; yield the function that advances it.

    A single photo has none: it is answered before a bar could be drawn.
    """
    if total == 1:
        yield lambda _: None
        return
    from maskwise.progress import photo_progress

    with photo_progress(console()) as progress:
        task = progress.add_task(what, total=total)
        yield lambda photos: progress.advance(task, photos)


def output_folder() -> Path | None:
    """Return the folder that SM_OUTPUT_DATA_DIR names, if it is set."""
    value = os.environ.get("SM_OUTPUT_DATA_DIR")
    return Path(value) if value else None
