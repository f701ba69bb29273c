"""`maskwise data`: samples, import, merge, split, check, stats."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskwise.cli.output import console, photo_bar, print_json, print_pairs, print_table

if TYPE_CHECKING:
    import polars as pl

    from maskwise.data.duplicates import Fingerprints, Twin

app = typer.Typer(no_args_is_help=True, help="Make, import, split and check data sets.")

ManifestPath = Annotated[Path, typer.Argument(metavar="MANIFEST", help="A .csv or .parquet file.")]
Out = Annotated[Path, typer.Option("--out", help="The manifest to write (.csv or .parquet).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Workers = Annotated[int | None, typer.Option(help="Processes; 0 works in this one.")]


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
            help="competition, answers, utkface, decades, mask-folders, voc or csv; else detected."
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
    person_pattern: Annotated[
        str | None, typer.Option(help="Regular expression; its first group is the person.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn a folder of labelled photos, or a CSV file, into a manifest."""
    from maskwise.config import path_or_variable
    from maskwise.data.manifest import write_manifest
    from maskwise.data.sources import ImportOptions, detect_layout, import_source

    source = path_or_variable(source, "SM_CHANNEL_TRAIN", "the folder to import")
    options = ImportOptions(
        source=name or source.resolve().stem,
        columns=_pairs(column or [], "--column"),
        values=_values(value or []),
        photos=photos,
        person_pattern=person_pattern,
    )
    layout = layout or detect_layout(source)
    frame = import_source(source, options, layout)
    _check_photos_exist(frame)
    write_manifest(frame, out)
    result = {
        "manifest": str(out),
        "layout": layout,
        "photos": len(frame),
        "people": frame["person"].n_unique(),
    }
    print_json(result) if as_json else print_pairs("imported", result)


@app.command()
def merge(
    manifests: Annotated[list[Path], typer.Argument(help="Manifests to join.")],
    out: Out,
    same_people: Annotated[
        bool, typer.Option(help="A person id in two manifests is the same person.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Join manifests into one."""
    from maskwise.data.manifest import merge_manifests, read_manifest, write_manifest

    frame = merge_manifests([read_manifest(path) for path in manifests], same_people)
    write_manifest(frame, out)
    result = {
        "manifest": str(out),
        "photos": len(frame),
        "people": frame["person"].n_unique(),
        "sources": ", ".join(sorted(frame["source"].unique())),
    }
    print_json(result) if as_json else print_pairs("merged", result)


@app.command()
def split(
    manifest: ManifestPath,
    out: Annotated[
        Path | None, typer.Option(help="Where to write; else over the manifest.")
    ] = None,
    val: Annotated[float, typer.Option(help="Share of people that validates.")] = 0.2,
    folds: Annotated[int, typer.Option(help="Number of folds; 0 makes train and val.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    reassign: Annotated[bool, typer.Option(help="Forget the folds that are there.")] = False,
    twins: Annotated[
        Path | None, typer.Option(help="Where to write the pairs of nearly equal photos (.csv).")
    ] = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Assign people to folds, stratified by gender and age; nearly equal photos stay together."""
    from maskwise.data.manifest import read_manifest, write_manifest
    from maskwise.data.split import check_leaks, split_manifest

    frame = read_manifest(manifest)
    prints, found = _twins(frame, workers)
    frame = split_manifest(frame, found, val, folds, seed, reassign)
    check_leaks(frame, prints.digests, found)
    write_manifest(frame, out or manifest)
    result = _split_result(frame, found, out or manifest, twins)
    if as_json:
        print_json(result)
        return
    print_table(
        "folds",
        ["fold", "photos", "people"],
        [(fold["fold"], fold["photos"], fold["people"]) for fold in result["folds"]],
    )
    _print_twins(result["twins"])


@app.command()
def check(
    manifest: ManifestPath,
    twins: Annotated[
        Path | None, typer.Option(help="Where to write the pairs of nearly equal photos (.csv).")
    ] = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Check that no person, no file and no nearly equal photo stands in two folds."""
    from maskwise.data.manifest import read_manifest
    from maskwise.data.split import check_leaks

    frame = read_manifest(manifest)
    prints, found = _twins(frame, workers)
    result = _split_result(frame, found, manifest, twins)
    check_leaks(frame, prints.digests, found)
    if as_json:
        print_json(result)
        return
    _print_twins(result["twins"])
    typer.echo("no leak between folds")


@app.command()
def stats(
    manifest: ManifestPath,
    html: Annotated[Path | None, typer.Option(help="Also write a page.")] = None,
    as_json: AsJson = False,
) -> None:
    """Count photos by label, source, fold and age."""
    from maskwise.data.manifest import read_manifest
    from maskwise.data.stats import manifest_stats

    result = manifest_stats(read_manifest(manifest, check_photos=False))
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


def _print_rows(title: str, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        print_table(title, list(rows[0]), [list(row.values()) for row in rows])


def _twins(frame: "pl.DataFrame", workers: int | None) -> "tuple[Fingerprints, list[Twin]]":
    import os

    from maskwise.data.duplicates import find_twins, fingerprint_photos

    with photo_bar("comparing photos", len(frame)) as advance:
        count = (os.cpu_count() or 1) if workers is None else workers
        prints = fingerprint_photos(frame["photo"].to_list(), count, advance)
    return prints, find_twins(prints)


def _split_result(
    frame: "pl.DataFrame", found: "list[Twin]", manifest: Path, twins: Path | None
) -> dict[str, Any]:
    from maskwise.data.split import twins_table
    from maskwise.data.stats import manifest_stats
    from maskwise.storage import replacing

    table = twins_table(frame, found)
    if twins:
        with replacing(twins) as temporary:
            table.write_csv(temporary)
    across = table.filter(table["person"] != table["twin_person"])
    other_age = across["age"] != across["twin_age"]
    return {
        "manifest": str(manifest),
        "folds": manifest_stats(frame)["folds"],
        "twins": {
            "pairs": len(table),
            "pairs_across_people": len(across),
            "pairs_of_other_age": int(other_age.sum()),
            "list": str(twins) if twins else None,
            "first": across.head(5).to_dicts(),
        },
    }


def _print_twins(twins: dict[str, Any]) -> None:
    console().print(
        f"{twins['pairs_across_people']} pairs of nearly equal photos under different person ids, "
        f"{twins['pairs_of_other_age']} of them with different ages; each pair counts as one person"
    )
    for pair in twins["first"]:
        console().print(
            f"  {pair['photo']} ~ {pair['twin_photo']}", soft_wrap=True, highlight=False
        )
    if twins["pairs_across_people"] > len(twins["first"]) and not twins["list"]:
        console().print("  ... give --twins FILE.csv for all of them")


def _check_photos_exist(frame: "pl.DataFrame") -> None:
    from maskwise.errors import ManifestError, listed

    missing = [photo for photo in frame["photo"] if not Path(photo).is_file()]
    if missing:
        raise ManifestError(
            f"{len(missing)} photo(s) named by the source do not exist "
            f"(--photos names their folder):\n{listed(missing)}"
        )


def _pairs(words: Sequence[str], option: str) -> dict[str, str]:
    from maskwise.errors import SettingsError

    pairs = {}
    for word in words:
        left, equals, right = word.partition("=")
        if not (left and equals and right):
            raise SettingsError(f"{option} {word}: expected NAME=VALUE")
        pairs[left] = right
    return pairs


def _values(words: Sequence[str]) -> dict[str, dict[str, str]]:
    from maskwise.errors import SettingsError

    values: dict[str, dict[str, str]] = {}
    for left, word in _pairs(words, "--value").items():
        column, colon, theirs = left.partition(":")
        if not (column and colon):
            raise SettingsError(f"--value {left}={word}: expected COLUMN:VALUE=WORD")
        values.setdefault(column, {})[theirs] = word
    return values
