"""`maskwise data`: samples, import, merge, stats; more are in folds.py and derived.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskwise.cli.audit import audit
from maskwise.cli.derived import background, multiply
from maskwise.cli.faces import crop, mask
from maskwise.cli.fix import fix
from maskwise.cli.folds import check, split
from maskwise.cli.output import (
    AsJson,
    Force,
    ManifestPath,
    console,
    keep_existing,
    photo_bar,
    print_json,
    print_pairs,
    print_table,
)

if TYPE_CHECKING:
    import polars as pl

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Make, import, split and check data sets."
)

Out = Annotated[Path, typer.Option("--out", help="The manifest to write (.csv or .parquet).")]


@app.command()
def samples(
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    people: Annotated[int, typer.Option(help="People to train on; 7 photos each.")] = 60,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    eval_people: Annotated[int | None, typer.Option(help="People to evaluate on.")] = None,
    as_json: AsJson = False,
) -> None:
    """Draw a sample set of invented people in the competition's layout."""
    from dataclasses import asdict

    from maskwise.data.samples import PHOTOS, default_eval_people, write_samples

    others = default_eval_people(people) if eval_people is None else eval_people
    with photo_bar("drawing", (people + others) * len(PHOTOS)) as advance:
        summary = write_samples(
            out, people=people, seed=seed, eval_people=eval_people, progress=advance
        )
    result = {"folder": str(out), **asdict(summary)}
    print_json(result) if as_json else print_pairs("sample set", result)


@app.command("import")
def import_(
    source: Annotated[
        Path | None, typer.Argument(help="A folder of photos or a CSV file; else SM_CHANNEL_TRAIN.")
    ] = None,
    out: Out = Path("manifest.csv"),
    layout: Annotated[
        str | None,
        typer.Option(
            help="competition, answers, utkface, file-names, decades, mask-folders, voc, photos or "
            "csv; else detected."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the set; else the folder's.")] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Folder of the photos that a CSV file or boxes name.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="For a CSV file: manifest column=its column.")
    ] = None,
    value: Annotated[
        list[str] | None, typer.Option(help="For a CSV file: column:its value=our word.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="TASK=CLASS of photos without a label of their own, such as mask=wear."),
    ] = None,
    person_pattern: Annotated[
        str | None, typer.Option(help="Regular expression; its first group is the person.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out what cannot be understood.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Turn a folder of labelled photos, or a CSV file, into a manifest."""
    from maskwise.data.import_summary import import_summary, messages, summary_lines
    from maskwise.data.manifest import write_manifest
    from maskwise.data.options import ImportOptions
    from maskwise.data.sources import detect_layout, import_source
    from maskwise.settings import path_or_variable

    source = path_or_variable(source, "SM_CHANNEL_TRAIN", "the folder to import")
    keep_existing(out, force)
    options = ImportOptions(
        source=name or source.resolve().stem,
        columns=_pairs(column or [], "--column"),
        values=_values(value or []),
        photos=photos,
        labels=_pairs(label or [], "--label"),
        person_pattern=person_pattern,
        skip_bad=skip_bad,
    )
    layout = layout or detect_layout(source)
    frame = import_source(source, options, layout)
    _check_photos_exist(frame)
    write_manifest(frame, out)
    for message in messages(options):
        console().print(message, soft_wrap=True)
    summary = import_summary(frame, options)
    named = {"manifest": str(out), "layout": layout}
    if as_json:
        print_json(named | summary)
    else:
        print_pairs("imported", named | summary_lines(summary))


@app.command()
def merge(
    manifests: Annotated[list[Path], typer.Argument(help="Manifests to join.")],
    out: Out,
    same_people: Annotated[
        bool, typer.Option(help="A person id in two manifests is the same person.")
    ] = False,
    prefix_people: Annotated[
        bool, typer.Option(help="Put the source before each person id, to tell them apart.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Join manifests into one."""
    from maskwise.data.manifest import merge_manifests, read_manifest, write_manifest

    keep_existing(out, force)
    frames = [read_manifest(path) for path in manifests]
    frame = merge_manifests(frames, same_people, prefix_people)
    write_manifest(frame, out)
    result = {
        "manifest": str(out),
        "photos": len(frame),
        "people": frame["person"].n_unique(),
        "sources": ", ".join(sorted(frame["source"].unique())),
    }
    print_json(result) if as_json else print_pairs("merged", result)


app.command()(split)
app.command()(check)
app.command()(crop)
app.command()(background)
app.command()(mask)
app.command()(multiply)
app.command()(audit)
app.command()(fix)


@app.command()
def stats(
    manifest: ManifestPath,
    html: Annotated[Path | None, typer.Option(help="Also write a page.")] = None,
    shortcuts: Annotated[
        bool, typer.Option(help="Search for label shortcuts between sources; reads photos.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Count photos by label, source, fold and age; warn of label shortcuts between sources."""
    from maskwise.data.manifest import read_manifest
    from maskwise.data.shortcuts import ADVICE
    from maskwise.data.stats import manifest_stats

    frame = read_manifest(manifest, check_photos=False)
    result = manifest_stats(frame)
    result["shortcuts"] = _shortcuts(frame) if shortcuts else []
    if html:
        from maskwise.evaluation.report import write_stats

        write_stats(html, result, f"Data: {manifest.name}")
    if as_json:
        print_json(result)
        return
    typer.echo(f"{result['photos']} photos of {result['people']} people")
    _print_rows("mask x gender x age group", result["classes"])
    for column in ("sources", "folds"):
        _print_rows(column, result[column])
    most = max((decade["photos"] for decade in result["ages"]), default=0) or 1
    for decade in result["ages"]:
        bar = "#" * round(50 * decade["photos"] / most)
        typer.echo(f"{decade['from']:>4}-{decade['to']:<4}{decade['photos']:>7} {bar}")
    if result["shortcuts"]:
        typer.echo(f"{len(result['shortcuts'])} label shortcut(s):")
        for shortcut in result["shortcuts"]:
            typer.echo(f"  - {shortcut['message']}")
        typer.echo(ADVICE)


def _shortcuts(frame: "pl.DataFrame") -> list[dict[str, Any]]:
    """Return the label shortcuts of a manifest, each with its message, as plain values."""
    from dataclasses import asdict

    from maskwise.data.shortcuts import find_shortcuts
    from maskwise.data.source_crops import read_face_crops

    found = find_shortcuts(frame, lambda rows: read_face_crops(frame[rows]))
    return [{**asdict(one), "message": str(one)} for one in found]


def _print_rows(title: str, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        print_table(title, list(rows[0]), [list(row.values()) for row in rows])


def _check_photos_exist(frame: "pl.DataFrame") -> None:
    from maskwise.data.checks import missing_photos
    from maskwise.errors import ManifestError, listed

    missing = [problem for _, problem in missing_photos(frame)]
    if missing:
        raise ManifestError(
            f"{len(missing)} photo(s) named by the source do not exist "
            f"(--photos names their folder):\n{listed(missing)}"
        )


def _pairs(words: Sequence[str], option: str, may_be_empty: bool = False) -> dict[str, str]:
    from maskwise.errors import SettingsError

    pairs = {}
    for word in words:
        left, equals, right = word.partition("=")
        if not (left and equals and (right or may_be_empty)):
            raise SettingsError(f"{option} {word}: expected NAME=VALUE")
        pairs[left] = right
    return pairs


def _values(words: Sequence[str]) -> dict[str, dict[str, str]]:
    from maskwise.errors import SettingsError

    values: dict[str, dict[str, str]] = {}
    for left, word in _pairs(words, "--value", may_be_empty=True).items():
        column, colon, theirs = left.partition(":")
        if not (column and colon):
            raise SettingsError(f"--value {left}={word}: expected COLUMN:VALUE=WORD")
        values.setdefault(column, {})[theirs] = word
    return values
