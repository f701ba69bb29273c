"""`maskwise predict`."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskwise.cli.answering import answered, load_predictor
from maskwise.cli.output import (
    AsJson,
    Device,
    Run,
    ViewsName,
    ViewsVote,
    output_folder,
    print_json,
)

if TYPE_CHECKING:
    from maskwise.prediction.result import Prediction


def predict(
    run: Run = None,
    photos: Annotated[
        list[str] | None,
        typer.Argument(help="Photos, folders, globs or CSV files of ids; else SM_CHANNEL_EVAL."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The CSV file; else SM_OUTPUT_DATA_DIR/predictions.csv, or the screen."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--photos", help="Folder of the photos that a CSV file names.")
    ] = None,
    device: Device = "auto",
    views: ViewsName = "1",
    views_vote: ViewsVote = "soft",
    workers: Annotated[int, typer.Option(help="Processes that decode.")] = -1,
    as_json: AsJson = False,
) -> None:
    """Answer photos: class 0-17, words and probabilities.

    Photos that cannot be read get a row with the error, and exit code 2 at the end.
    """
    from maskwise.data.inputs import evaluation_photos, find_photos
    from maskwise.settings import path_or_variable

    run = path_or_variable(run, "SM_CHANNEL_MODEL", "the run folder")
    if not photos:
        default = path_or_variable(None, "SM_CHANNEL_EVAL", "the photos")
        photos = [evaluation_photos(default)]
    found = find_photos(photos, folder)
    predictor = load_predictor(run, device, views, views_vote)
    refs = [photo for _, photo in found]
    names = [name for name, _ in found]
    output = output_folder()
    out = out or (output / "predictions.csv" if output else None)
    summary = _write_answers(answered(predictor, refs, names, workers), out, as_json)
    if as_json and out:
        print_json(summary)
    if summary["no_face"]:
        typer.echo(f"no face found in {summary['no_face']} photos: centre taken", err=True)
    for error in summary["errors"][:10]:
        typer.echo(f"error: {error}", err=True)
    if summary["errors"]:
        typer.echo(
            f"error: {len(summary['errors'])} of {len(refs)} photos could not be read", err=True
        )
        raise typer.Exit(2)


def _write_answers(
    answers: "Iterable[Prediction]", out: Path | None, as_json: bool
) -> dict[str, Any]:
    """Write one row per answer as it comes; to the screen as CSV or JSON without a file."""
    from contextlib import ExitStack
    from sys import stdout

    from maskwise.prediction.result import Prediction
    from maskwise.storage import replacing

    errors: list[str] = []
    count = no_face = 0
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        file = stdout
        if out:
            temporary = stack.enter_context(replacing(out))
            file = stack.enter_context(
                temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape")
            )
        writer = csv.DictWriter(file, list(Prediction("").row()), lineterminator="\n")
        if out or not as_json:
            writer.writeheader()
        for answer in answers:
            count += 1
            no_face += answer.no_face
            if answer.error:
                errors.append(answer.error)
            if out or not as_json:
                writer.writerow(answer.row())
            else:
                rows.append(answer.row())
    if as_json and not out:
        print_json(rows)
    return {
        "predictions": str(out) if out else None,
        "photos": count,
        "no_face": no_face,
        "errors": errors,
    }
