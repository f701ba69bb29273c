"""`maskwise camera`."""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from maskwise.cli.output import AsJson, console, end_like_an_interrupt, print_json

if TYPE_CHECKING:
    from maskwise.camera.source import Frame
    from maskwise.prediction.passes import Pass

Row = dict[str, Any]


def camera(
    source: Annotated[
        str, typer.Argument(help="A film, a camera's number or device, or rtsp://HOST/PATH.")
    ],
    model: Annotated[
        Path | None, typer.Option(help="A run folder, an ensemble or an ONNX file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where passes are written as they come: .csv or .jsonl.")
    ] = None,
    append: Annotated[
        bool, typer.Option("--append", help="Go on with a file of passes that is there.")
    ] = False,
    video: Annotated[
        Path | None, typer.Option(help="An .mp4 film with boxes, words and blurred faces.")
    ] = None,
    rate: Annotated[float, typer.Option(min=0.1, max=60, help="Frames a second, at most.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Watch a camera or a film: who passes with a mask, with one worn wrong, without.

    Pictures are looked at and forgotten. Ctrl-C, or SIGTERM, ends it; those in sight have passed.
    """
    from maskwise.camera.film import FilmWriter, check_film
    from maskwise.camera.source import film_frames, is_live, live_frames
    from maskwise.camera.watching import pass_row, watch_frames
    from maskwise.prediction.predictor import Predictor

    if out:
        _check_passes(out, append)
    if video:
        check_film(video)
    predictor = Predictor.load(model)
    predictor.check_finds_faces()
    end_like_an_interrupt()
    live = is_live(source)
    told = console()
    frames = _begun((live_frames if live else film_frames)(source, rate, told.print))
    with ExitStack() as stack:
        write = _writer(out, stack) if out else None
        film = stack.enter_context(FilmWriter(video)) if video else None

        def passed(one: "Pass") -> None:
            row = pass_row(one, live)
            if write:
                write(row)
            elif not as_json:
                print_pass(row)

        watch = watch_frames(predictor, frames, passed, film)
    result = {"passes": sum(watch.counts.values()), **watch.counts,
              "out": str(out) if out else None, "video": str(video) if video else None}  # fmt: skip
    if as_json:
        print_json(result)
    else:
        typer.echo(", ".join(f"{word} {count}" for word, count in watch.counts.items()), err=True)


def print_pass(row: Row) -> None:
    """Print one pass for people."""
    typer.echo(
        f"{row['ended']}  person {row['number']}: {row['state']} "
        f"({100 * row['probability']:.0f} %, {row['seconds']} s)"
    )
    sys.stdout.flush()


def _begun(frames: "Iterator[Frame]") -> "Iterator[Frame]":
    """Return frames of which the first has come: nothing is written for what cannot be watched."""
    try:
        first = [next(frames)]
    except KeyboardInterrupt:
        return iter(())
    return chain(first, frames)


def _check_passes(out: Path, append: bool) -> None:
    """Check that passes may be written to a file.

    Raises:
        CameraError: the file is there already, or its name does not say what kind it is.
    """
    from maskwise.errors import CameraError

    if out.suffix not in (".csv", ".jsonl"):
        raise CameraError(f"{out}: expected a name that ends in .csv or .jsonl")
    if out.exists() and not append:
        raise CameraError(f"{out} is there already; name another file, or add --append")


def _writer(out: Path, stack: ExitStack) -> Callable[[Row], None]:
    """Return what writes a row, whole and at once, to a file of passes.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    from maskwise.camera.watching import PASS_COLUMNS
    from maskwise.storage import storage_errors

    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        file: TextIO = stack.enter_context(out.open("a", encoding="utf-8", newline=""))
        table = csv.DictWriter(file, PASS_COLUMNS, lineterminator="\n")
        if out.suffix == ".csv" and not file.tell():
            table.writeheader()
            file.flush()

    def write(row: Row) -> None:
        with storage_errors(out):
            if out.suffix == ".jsonl":
                file.write(json.dumps(row) + "\n")
            else:
                table.writerow(row)
            file.flush()

    return write
