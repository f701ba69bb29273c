"""`maskwise data background` and `multiply`: sets made from the photos of a manifest."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from maskwise.cli.output import (
    AsJson,
    ManifestPath,
    console,
    photo_bar,
    print_json,
    print_pairs,
)

if TYPE_CHECKING:
    import polars as pl

    from maskwise.data.background import Replacement
    from maskwise.data.derived import DerivedSet, Step
    from maskwise.data.multiply import How
    from maskwise.data.sheets import Tile

SHEET = "sheet.jpg"
_PAIRS = 32
"""Photos on the sheet, each before and after; up to half of them are noted ones."""
_SIDE = 160
_TOLD = 10
_MOST = 100
"""Photos that one may become."""

OutFolder = Annotated[Path, typer.Option("--out", help="The folder to write: new, or begun.")]


def background(
    manifest: ManifestPath,
    out: OutFolder,
    replace: Annotated[str, typer.Option(help="white, grey, blur or random.")] = "grey",
    model: Annotated[
        str | None, typer.Option(help="A model of rembg; else u2net_human_seg, made for people.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of random backgrounds.")] = 0,
    workers: Annotated[
        int,
        typer.Option(min=0, help="Processes, each with its own model; 0: this one, on all cores."),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Replace what stands behind the people in photos, with the library rembg.

    Originals stay as they are. A photo whose background is not found is copied and noted; photos
    that cannot be read are listed, with exit code 2 at the end.
    """
    from maskwise.data.background import DEFAULT_MODEL, BackgroundStep, open_remover
    from maskwise.data.manifest import read_manifest

    step = BackgroundStep(model or DEFAULT_MODEL, cast("Replacement", replace), seed)
    frame = read_manifest(manifest)
    console().print(f"opening the model {step.model} of rembg")
    open_remover(step.model)  # fails before the folder is begun, and downloads for all processes
    make_set(frame, out, step, workers, as_json)


def multiply(
    manifest: ManifestPath,
    out: OutFolder,
    times: Annotated[
        list[str],
        typer.Option(
            help="LABEL=N, such as old=3: N photos in place of one; of several, the most."
        ),
    ],
    how: Annotated[
        str, typer.Option(help="change: changed copies; mix: blends with people of like age.")
    ] = "change",
    age_gap: Annotated[
        float, typer.Option(min=0, help="Of mix: largest difference of the ages, in years.")
    ] = 3.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes; 0: this one; -1: one a core.")] = -1,
    as_json: AsJson = False,
) -> None:
    """Write copies of training photos of rare labels, to be merged with the manifest.

    Photos of a blend are of people of one mask state, gender and age group. It keeps the fold of
    both, so give people no other folds afterwards.
    """
    from maskwise.data.manifest import read_manifest
    from maskwise.data.multiply import MultiplyStep, rows_to_copy
    from maskwise.errors import SettingsError

    if how not in ("change", "mix"):
        raise SettingsError(f"--how {how}: expected change or mix")
    wanted = _times(times)
    step = MultiplyStep(wanted, cast("How", how), seed)
    frame = rows_to_copy(read_manifest(manifest), wanted, step.how, age_gap, seed)
    make_set(frame, out, step, workers, as_json)


def _times(words: Sequence[str]) -> dict[str, int]:
    """Return label -> photos for words such as old=3; all wrong ones are told at once."""
    from maskwise.errors import SettingsError, listed
    from maskwise.labels import TASKS

    labels = [label for names in TASKS.values() for label in names]
    found, problems = {}, []
    for word in words:
        label, _, count = word.partition("=")
        if label not in labels:
            problems.append(f"{word}: expected one of {', '.join(labels)}")
        elif not count.isdigit() or not 2 <= int(count) <= _MOST:
            problems.append(f"{word}: expected {label}=N with N from 2 to {_MOST}")
        found[str(label)] = int(count) if count.isdigit() else 0
    if problems:
        raise SettingsError(f"{len(problems)} wrong --times:\n{listed(problems)}")
    return found


def make_set(
    frame: "pl.DataFrame",
    out: Path,
    step: "Step",
    workers: int,
    as_json: bool,
    stems: Sequence[str] | None = None,
    write_more: "Callable[[DerivedSet, Path], None] | None" = None,
) -> None:
    """Make a set with a step, say what became of it, and end with code 2 if photos failed.

    `stems` are other names for its photos; `write_more` writes its sheet and what else belongs
    to it, instead of a sheet of photos before and after.
    """
    from maskwise.data.derived import derive_set
    from maskwise.data.workers import process_count

    with photo_bar(step.name, len(frame)) as advance:
        made = derive_set(frame, out, step, process_count(workers), advance, stems)
    (write_more or _write_pairs)(made, out)
    _finish(made, out, step.name, as_json)


def _finish(made: "DerivedSet", out: Path, title: str, as_json: bool) -> None:
    from maskwise.storage import write_csv

    notes, errors = made.notes(), made.errors()
    write_csv(out / "notes.csv", ("photo", "note"), notes)
    result = {
        "manifest": str(out / "manifest.csv"),
        "photos": len(made.sources),
        "written": len(made.frame),
        "noted": len(notes),
        "failed": len(errors),
        "notes": str(out / "notes.csv"),
        "sheet": str(out / SHEET),
    }
    print_json(result) if as_json else print_pairs(title, result)
    _tell([f"{note}: {photo}" for photo, note in notes])
    _tell([f"error: {error}" for error in errors])
    if made.frame.is_empty() and not errors:
        typer.echo("error: not one photo could be made; the notes say why", err=True)
        raise typer.Exit(2)
    if errors:
        typer.echo(f"error: {len(errors)} of {len(made.sources)} photos failed", err=True)
        raise typer.Exit(2)


def _tell(lines: Sequence[str]) -> None:
    """Print the first lines to standard error, and how many more there are."""
    for line in lines[:_TOLD]:
        typer.echo(line, err=True)
    if len(lines) > _TOLD:
        typer.echo(f"... and {len(lines) - _TOLD} more", err=True)


def _write_pairs(made: "DerivedSet", out: Path) -> None:
    from maskwise.data.sheets import write_sheet

    write_sheet(out / SHEET, list(_pairs(made, out)), columns=8, side=_SIDE)


def _pairs(made: "DerivedSet", out: Path) -> "Iterator[Tile]":
    """Yield photos before and after, the noted ones first; the caption says what was noted."""
    from maskwise.data.sheets import spread
    from maskwise.transforms.decode import decode_photo

    pairs = [pair for pair in zip(made.sources, made.outcomes, strict=True) if pair[1].rows]
    noted = [pair for pair in pairs if pair[1].note]
    others = [pair for pair in pairs if not pair[1].note]
    shown = [noted[place] for place in spread(len(noted), _PAIRS // 2)]
    shown += [others[place] for place in spread(len(others), _PAIRS - len(shown))]
    for source, outcome in shown:
        before, after = decode_photo(source["photo"]), decode_photo(out / outcome.rows[0]["photo"])
        for picture in (before, after):
            picture.thumbnail((_SIDE, _SIDE))  # or many large photos would be held at once
        yield before, Path(source["photo"]).name
        yield after, outcome.note
