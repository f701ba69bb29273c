"""`maskwise data fix`."""

from pathlib import Path
from typing import Annotated

import typer

from maskwise.cli.output import AsJson, Force, ManifestPath, console, print_json, print_pairs


def fix(
    manifest: ManifestPath,
    corrections: Annotated[
        Path, typer.Argument(help="A CSV file: id, field, from, to, who, when.")
    ],
    out: Annotated[Path, typer.Option(help="The manifest to write (.csv or .parquet).")],
    partly: Annotated[
        bool, typer.Option("--partly", help="Leave out corrections that do not match, and say so.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make the corrections of a list, unless the manifest says something else by now."""
    from maskwise.cli.output import keep_existing
    from maskwise.data.corrections import apply_corrections, read_corrections
    from maskwise.data.manifest import read_manifest, write_manifest

    keep_existing(out, force)
    frame = read_manifest(manifest, check_photos=False)
    found = read_corrections(corrections)
    applied = apply_corrections(frame, found, manifest.parent.resolve(), partly)
    write_manifest(applied.frame, out)
    for text in applied.refused:
        console().print(f"left out: {text}", soft_wrap=True)
    result = {
        "manifest": str(out),
        "photos": len(applied.frame),
        "corrections": len(found),
        "changed": applied.changed,
        "removed": applied.removed,
        "left_out": len(applied.refused),
    }
    print_json(result) if as_json else print_pairs("corrected", result)
