"""`maskwise predict`."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskwise.cli.answering import answered, every_face, load_predictor
from maskwise.cli.output import (
    AsJson,
    Device,
    ViewsName,
    ViewsVote,
    json_text,
    output_folder,
    print_json,
)

if TYPE_CHECKING:
    from maskwise.prediction.result import Prediction


def predict(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL] PHOTOS",
            help="A model, unless the one that comes with Maskwise, else SM_CHANNEL_MODEL. Then "
            "photos, folders, globs or CSV files of ids, else SM_CHANNEL_EVAL.",
        ),
    ] = None,
    all_faces: Annotated[
        bool,
        typer.Option("--all-faces", help="A row for each face, not for the largest central one."),
    ] = False,
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
    from maskwise.data.named import find_photos

    model, photos = _model_and_photos(words or [])
    found = find_photos(photos, folder)
    predictor = load_predictor(model, device, views, views_vote)
    refs = [photo for _, photo in found]
    names = [name for name, _ in found]
    output = output_folder()
    out = out or (output / "predictions.csv" if output else None)
    ask = every_face(predictor, found) if all_faces else answered(predictor, refs, names, workers)
    boundaries = predictor.classifier.boundaries
    summary = _write_answers(ask, out, as_json, boundaries)
    if as_json and out:
        print_json(summary)
    if summary["no_face"]:
        taken = "no answer" if all_faces else "centre taken"
        typer.echo(f"no face found in {summary['no_face']} photos: {taken}", err=True)
    for error in summary["errors"][:10]:
        typer.echo(f"error: {error}", err=True)
    if summary["errors"]:
        typer.echo(
            f"error: {len(summary['errors'])} of {len(refs)} photos could not be read", err=True
        )
        raise typer.Exit(2)


def _model_and_photos(words: list[str]) -> tuple[Path, list[str]]:
    """Return the model and the photos that the words of a command name.

    Raises:
        RunError: the first of several words is nothing that there is.
        SettingsError: no photos are named.
    """
    import os

    from maskwise.errors import RunError
    from maskwise.models.loading import SHIPPED, names_model

    model = Path(os.environ.get("SM_CHANNEL_MODEL") or SHIPPED)
    if words and names_model(Path(words[0])):
        model, words = Path(words[0]), words[1:]
    elif len(words) > 1 and not (Path(words[0]).exists() or set(words[0]) & set("*?[")):
        raise RunError(f"{words[0]}: there is no such model, and no such photo")
    if not words:
        from maskwise.data.named import evaluation_photos
        from maskwise.settings import path_or_variable

        return model, [evaluation_photos(path_or_variable(None, "SM_CHANNEL_EVAL", "the photos"))]
    return model, words


def _write_answers(
    answers: "Iterable[Prediction]", out: Path | None, as_json: bool, boundaries: tuple[int, int]
) -> dict[str, Any]:
    """Write one row per answer as it comes: to a file, or as JSON or CSV; sentences for people."""
    from contextlib import ExitStack
    from sys import stdout

    from maskwise.prediction.result import Prediction
    from maskwise.storage import replacing

    errors: list[str] = []
    count = no_face = 0
    with ExitStack() as stack:
        file = stdout
        if out:
            temporary = stack.enter_context(replacing(out))
            file = stack.enter_context(
                temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape")
            )
        writer = csv.DictWriter(file, list(Prediction("").row()), lineterminator="\n")
        for_people = not (out or as_json) and stdout.isatty()
        if out or not (as_json or for_people):
            writer.writeheader()
        for answer in answers:
            count += 1
            no_face += answer.no_face
            if answer.error:
                errors.append(answer.error)
            if for_people:
                typer.echo(answer.sentence(boundaries))
            elif out or not as_json:
                writer.writerow(answer.row())
            else:
                # one by one, as a million would not fit
                typer.echo(("[\n" if count == 1 else ",\n") + json_text(answer.row()), nl=False)
        if as_json and not out:
            typer.echo("\n]" if count else "[]")
    return {
        "predictions": str(out) if out else None,
        "photos": count,
        "no_face": no_face,
        "errors": errors,
    }
