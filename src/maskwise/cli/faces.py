"""`maskwise data crop` and `maskwise data mask`: sets made of the faces in photos."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from maskwise.cli.derived import SHEET, OutFolder, make_set
from maskwise.cli.output import AsJson, ManifestPath, console

if TYPE_CHECKING:
    from maskwise.data.derived import DerivedSet
    from maskwise.data.sheets import Tile

_PEOPLE = 24
"""People on the sheet of drawn masks."""
_PHOTOS: Final = 16
"""Photos of each on it, at most."""
_SIDE = 128

DetectorName = Annotated[
    str, typer.Option(help="yunet, centerface (maskwise[faces]) or none (crop only).")
]
Workers = Annotated[int, typer.Option(help="Processes; 0: this one; -1: one a core.")]


def crop(
    manifest: ManifestPath,
    out: OutFolder,
    detector: DetectorName = "yunet",
    margin: Annotated[
        float, typer.Option(min=0, max=3, help="Around the box, in shares of its longer side.")
    ] = 0.8,
    shape: Annotated[str, typer.Option(help="square or 3:4; never squashed.")] = "square",
    align: Annotated[bool, typer.Option("--align", help="Turn the eyes level.")] = False,
    longest: Annotated[
        int, typer.Option(min=32, help="Larger crops are scaled down to so many pixels.")
    ] = 512,
    workers: Workers = -1,
    as_json: AsJson = False,
) -> None:
    """Cut the faces out of photos; the new manifest says where each face lies in its crop.

    A photo without a face gives its centre, and is listed, as is one with several faces.
    """
    from maskwise.data.crops import SHAPES, CropStep
    from maskwise.data.manifest import read_manifest
    from maskwise.errors import SettingsError

    if shape not in SHAPES:
        raise SettingsError(f"--shape {shape}: expected {' or '.join(SHAPES)}")
    if align and detector == "none":
        raise SettingsError("--align turns the eyes level, and --detector none finds no eyes")
    step = CropStep(_opened(detector), margin, shape, align, longest)
    make_set(read_manifest(manifest), out, step, workers, as_json)


def mask(
    manifest: ManifestPath,
    out: OutFolder,
    wear: Annotated[int, typer.Option(min=0, help="Photos a face with a mask worn right.")] = 5,
    incorrect: Annotated[int, typer.Option(min=0, help="Photos with one worn wrong.")] = 1,
    bare: Annotated[int, typer.Option(min=0, help="Photos without a mask.")] = 1,
    people: Annotated[
        int | None, typer.Option(min=1, help="Draw on so many people only, chosen by the seed.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    detector: DetectorName = "yunet",
    workers: Workers = -1,
    as_json: AsJson = False,
) -> None:
    """Draw masks on bare faces: by default the competition's seven photos of each.

    A photo whose mask state is unknown counts as bare; photos with a mask are left out. Person,
    gender and age stay as they are. Faces that cannot be used are listed.
    """
    import polars as pl

    from maskwise.data.manifest import read_manifest
    from maskwise.data.masks import MaskStep, bare_rows, person_folders, sample_people
    from maskwise.errors import ManifestError, SettingsError

    if not wear + incorrect + bare:
        raise SettingsError("--wear, --incorrect and --bare are all 0: nothing to draw")
    frame = read_manifest(manifest)
    bare_frame = bare_rows(frame)
    if bare_frame.is_empty():
        raise ManifestError(f"{manifest} has no bare face: every photo shows a mask")
    left_out = len(frame) - len(bare_frame)
    if people:
        bare_frame = sample_people(bare_frame, people, seed)
    if detector == "none":
        raise SettingsError("--detector none: masks can be drawn only where a face is found")
    unknown = bare_frame["mask"].null_count()
    if left_out:
        console().print(f"{left_out} photos with a mask are left out")
    if unknown:
        console().print(f"{unknown} photos of unknown mask state are taken as bare")
    nameless = bare_frame.filter(pl.col("gender").is_null() | pl.col("age").is_null())
    if len(nameless):
        console().print(
            f"{len(nameless)} photos have no gender or no age in years: the competition's layout "
            "cannot say so, the manifest does"
        )
    step = MaskStep(_opened(detector), wear, incorrect, bare, seed)
    make_set(
        bare_frame,
        out,
        step,
        workers,
        as_json,
        person_folders(bare_frame),
        _write_drawn,
    )


def _opened(detector: str) -> str:
    """Return a detector's name after opening it: what fails, fails before a folder is begun."""
    from maskwise.data.faces import open_detector

    if detector != "none":
        open_detector(detector)
    return detector


def _write_drawn(made: "DerivedSet", out: Path) -> None:
    from maskwise.data.masks import write_tables
    from maskwise.data.sheets import write_sheet

    write_tables(made, out)
    most = max((len(outcome.rows) for outcome in made.outcomes), default=1)
    columns = min(max(most, 1), _PHOTOS)
    write_sheet(out / SHEET, list(_drawn_tiles(made, out)), columns, _SIDE)


def _drawn_tiles(made: "DerivedSet", out: Path) -> "Iterator[Tile]":
    """Yield the photos of some people, each with the place of its mask."""
    from maskwise.data.sheets import spread
    from maskwise.transforms.decode import decode_photo

    drawn = [outcome.rows for outcome in made.outcomes if outcome.rows]
    most = max((len(rows) for rows in drawn), default=0)
    whole = [rows for rows in drawn if len(rows) == most]
    for place in spread(len(whole), _PEOPLE):
        for row in (whole[place][number] for number in spread(most, _PHOTOS)):
            photo = decode_photo(out / row["photo"])
            photo.thumbnail((_SIDE, _SIDE))
            yield photo, f"{row['drawn']['kind']} {row['drawn']['place']}".strip()
