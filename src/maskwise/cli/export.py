"""`maskwise export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskwise.cli.output import AsJson, console, print_json, print_pairs

if TYPE_CHECKING:
    from maskwise.models.onnx_file import Precision


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run folder or an ensemble.")],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("model.onnx"),
    on: Annotated[
        Path | None,
        typer.Option(help="A manifest: its photos check the file; else drawn people do."),
    ] = None,
    fold: Annotated[
        str | None, typer.Option(help="Its fold that checks; else what the model left out.")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Small and fast; ranges from photos of --on.")
    ] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="Half the size.")] = False,
    mirror: Annotated[
        bool,
        typer.Option("--mirror", help="Answer by a photo and its mirror image: twice the time."),
    ] = False,
    max_loss: Annotated[
        float | None, typer.Option(min=0, help="Most that macro-F1 may fall.")
    ] = None,
    min_agreement: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least share of equal answers.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the cache, cache.KEY=VALUE.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a model as one ONNX file that needs no training framework.

    In it are the preprocessing after the crop, the network or networks, and the calibration;
    labels, age groups, crop and figures stand in its metadata. It is compared with the model and
    refused where they differ too much.
    """
    from dataclasses import asdict

    from maskwise.cli.evaluate import cache_settings
    from maskwise.errors import SettingsError
    from maskwise.export.export_model import Wanted, export_model

    if int8 and fp16:
        raise SettingsError("--int8 and --fp16: name one")
    if out.suffix != ".onnx":
        raise SettingsError(f"--out {out}: expected a name that ends in .onnx")
    precision: Precision = "int8" if int8 else "fp16" if fp16 else "fp32"
    wanted = Wanted(precision, max_loss, min_agreement, mirror)
    cache = cache_settings(overrides or [])
    result = asdict(
        export_model(model, out, wanted, on, fold, cache, lambda text: console().print(text))
    )
    if as_json:
        print_json(result)
        return
    checked = result.pop("checked")
    print_pairs("exported", result)
    print_pairs("compared with the model", checked)
