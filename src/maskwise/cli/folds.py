"""`maskwise data split` and `maskwise data check`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskwise.cli.output import AsJson, ManifestPath, console, photo_bar, print_json, print_table

if TYPE_CHECKING:
    import polars as pl

    from maskwise.data.duplicates import Fingerprints, Twin

TwinsFile = Annotated[
    Path | None, typer.Option(help="Where to write the pairs of nearly equal photos (.csv).")
]
_SHOWN = 3
Workers = Annotated[int | None, typer.Option(help="Processes; 0 works in this one.")]


def split(
    manifest: ManifestPath,
    out: Annotated[
        Path | None, typer.Option(help="Where to write; else over the manifest.")
    ] = None,
    val: Annotated[float, typer.Option(help="Share of people that validates; 0: all train.")] = 0.2,
    folds: Annotated[int, typer.Option(help="Number of folds; 0 makes train and val.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    reassign: Annotated[bool, typer.Option(help="Forget the folds that are there.")] = False,
    hold_out_source: Annotated[
        list[str] | None,
        typer.Option(help="A source whose people are all put into the fold test; may be repeated."),
    ] = None,
    twins: TwinsFile = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Assign people to folds, stratified by gender and age; nearly equal photos stay together."""
    from maskwise.data.manifest import read_manifest, write_manifest
    from maskwise.data.source_names import check_sources
    from maskwise.data.split import check_leaks, split_manifest

    frame, held_out = read_manifest(manifest), hold_out_source or []
    check_sources(frame, held_out, "--hold-out-source")  # before photos are compared
    prints, found = _twins(frame, workers)
    frame = split_manifest(frame, found, val, folds, seed, reassign, held_out)
    check_leaks(frame, prints.digests, found)
    write_manifest(frame, out or manifest)
    result = _split_result(frame, prints, found, out or manifest, twins)
    _remark(result)
    if as_json:
        print_json(result)
        return
    print_table(
        "folds",
        ["fold", "photos", "people"],
        [(fold["fold"], fold["photos"], fold["people"]) for fold in result["folds"]],
    )


def check(
    manifest: ManifestPath,
    twins: TwinsFile = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Check that no person, no file and no nearly equal photo stands in two folds."""
    from maskwise.data.manifest import read_manifest
    from maskwise.data.split import check_leaks

    frame = read_manifest(manifest)
    prints, found = _twins(frame, workers)
    result = _split_result(frame, prints, found, manifest, twins)
    check_leaks(frame, prints.digests, found)
    _remark(result)
    if as_json:
        print_json(result)
        return
    typer.echo("no leak between folds")


def _twins(frame: "pl.DataFrame", workers: int | None) -> "tuple[Fingerprints, list[Twin]]":
    from maskwise.cores import core_count
    from maskwise.data.duplicates import find_twins, fingerprint_photos

    with photo_bar("comparing photos", len(frame)) as advance:
        count = core_count() if workers is None else workers
        prints = fingerprint_photos(frame["photo"].to_list(), count, advance)
    return prints, find_twins(prints)


def _split_result(
    frame: "pl.DataFrame",
    prints: "Fingerprints",
    found: "list[Twin]",
    manifest: Path,
    twins: Path | None,
) -> dict[str, Any]:
    from maskwise.data.joined import joined_people
    from maskwise.data.split import join_people, twins_table
    from maskwise.data.stats import manifest_stats
    from maskwise.storage import replacing

    groups = join_people(frame["person"].to_list(), found)
    joined = joined_people(frame, groups, found)
    table = twins_table(frame, found)
    if twins:
        with replacing(twins) as temporary:
            table.write_csv(temporary)
    across = table.filter(table["person"] != table["twin_person"])
    other_age = across["age"] != across["twin_age"]
    digests = zip(frame["photo"], prints.digests, strict=True)
    return {
        "manifest": str(manifest),
        "folds": manifest_stats(frame)["folds"],
        "unreadable": [photo for photo, digest in digests if not digest],
        "twins": {
            "pairs": len(table),
            "pairs_across_people": len(across),
            "pairs_of_other_age": int(other_age.sum()),
            "joined": [str(one) for one in joined[:_SHOWN]],
            "list": str(twins) if twins else None,
            "first": across.head(5).to_dicts(),
        },
    }


def _remark(result: dict[str, Any]) -> None:
    """Tell, beside the result, of nearly equal photos and of photos that cannot be read."""
    for photo in result["unreadable"]:
        console().print(f"cannot be read: {photo}", soft_wrap=True)
    twins = result["twins"]
    console().print(
        f"{twins['pairs_across_people']} pairs of nearly equal photos under different person ids, "
        f"{twins['pairs_of_other_age']} of them with different ages; each pair counts as one person"
    )
    for group in twins["joined"]:
        console().print(f"warning: {group}; is it a placeholder?", soft_wrap=True)
    for pair in twins["first"]:
        console().print(f"  {pair['photo']} ~ {pair['twin_photo']}", soft_wrap=True)
    if twins["pairs_across_people"] > len(twins["first"]) and not twins["list"]:
        console().print("  ... give --twins FILE.csv for all of them")
