"""`maskwise explain`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from maskwise.cli.output import AsJson, print_json

if TYPE_CHECKING:
    from maskwise.data.framing import Framed
    from maskwise.evaluation.explain import HeatMap
    from maskwise.prediction.predictor import Predictor


def explain(
    photos: Annotated[list[str], typer.Argument(help="Photos, folders, globs or CSV files.")],
    model: Annotated[
        Path | None, typer.Option(help="A run folder, an ensemble or an ONNX file.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for a picture of each.")] = Path("explained"),
    method: Annotated[
        Literal["occlusion", "grad-cam"],
        typer.Option(help="occlusion: parts are covered; grad-cam: of a run folder's network."),
    ] = "occlusion",
    grid: Annotated[int, typer.Option(min=2, max=64, help="Places that are covered, a side.")] = 12,
    as_json: AsJson = False,
) -> None:
    """Draw which parts of a face each answer hangs on: mask, gender, age group.

    Photos that cannot be read are told, and exit code 2 at the end.
    """
    from maskwise.data.named import find_photos
    from maskwise.errors import PhotoError
    from maskwise.evaluation.explain import explanation_sheet
    from maskwise.prediction.predictor import Predictor
    from maskwise.storage import replacing

    predictor = Predictor.load(model)
    rows: list[dict[str, Any]] = []
    errors = []
    faceless = 0
    for number, (name, photo) in enumerate(find_photos(photos), start=1):
        try:
            frames = predictor.frame_photo(photo.path, photo.box)
            maps = _maps(predictor, frames, method, grid)
        except PhotoError as error:
            errors.append(str(error))
            continue
        path = out / f"{number:04d}-{Path(name).stem}.png"
        with replacing(path) as temporary:
            explanation_sheet(frames[0].pixels, maps).save(temporary, "PNG")
        faceless += int(frames[0].missed)
        answers = {one.task: [str(one.word), round(one.probability, 4)] for one in maps}
        rows.append({"photo": name, "picture": str(path), **answers})
        if not as_json:
            said = ", ".join(f"{one.word} ({100 * one.probability:.0f} %)" for one in maps)
            typer.echo(f"{path}: {said}")
    if as_json:
        print_json(rows)
    if faceless:
        typer.echo(f"no face found in {faceless} photos: centre taken", err=True)
    for message in errors:
        typer.echo(f"error: {message}", err=True)
    if errors:
        raise typer.Exit(2)


def _maps(
    predictor: "Predictor", frames: "Sequence[Framed]", method: str, grid: int
) -> "list[HeatMap]":
    """Return the maps of the answers for a face, given its frame by each framer."""
    from maskwise.evaluation.explain import occlusion_maps
    from maskwise.labels import TASKS

    if method == "grad-cam":
        from maskwise.evaluation.grad_cam import grad_cam_maps

        return grad_cam_maps(predictor.classifier, frames[0].pixels, list(TASKS))
    pixels = {key: one.pixels for key, one in zip(predictor.framers, frames, strict=True)}
    return occlusion_maps(predictor.classifier, pixels, list(TASKS), grid)
