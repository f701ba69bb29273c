"""The photos of the bundled model: imported, split by people, and with masks rendered on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from benchmarks.commands import maskwise
from maskwise.storage import replacing

REAL: Final = "mask_photos"
RARE: Final = "mask_photos_incorrect"
"""Real masks worn incorrectly, as a source of their own, so that they can be repeated more."""
WORN: Final = ("wear", "incorrect")
TESTED, VALIDATED = 0.1, 0.04


@dataclass(frozen=True)
class Source:
    """How a source is imported, and on which of its faces masks are rendered."""

    options: tuple[str, ...] = ()
    masked_every: int = 0
    """A mask is worn correctly on every so-manieth face, incorrectly on the next; 0: on none."""


BARE: Final = ("--label", "mask=not_wear")
SOURCES: Final[Mapping[str, Source]] = {
    "all_age_faces": Source(BARE, masked_every=2),
    "fairface": Source(BARE, masked_every=4),
    "utkface": Source(BARE, masked_every=6),
    "asian_decades": Source(BARE, masked_every=4),
    REAL: Source(),
    "gender_masks": Source(),
    "walking_masks": Source(
        ("--layout", "photos", "--label", "mask=wear", "--person-pattern", "^([^_]+)_")
    ),
    "worn_wrong": Source(("--layout", "photos", "--label", "mask=incorrect")),
}
GENDERS: Final = "walking_masks_gender.csv"
"""person, gender and note of people whose photos say nothing of it."""


def make_manifests(data: Path, out: Path) -> tuple[Path, Path]:
    """Import the sources, split people and render masks.

    Args:
        data: A folder with a folder for each of `SOURCES`, and `GENDERS`.
        out: Where manifests and rendered photos are written; what is there is not made again.

    Returns:
        The manifest of training and validation photos, and that of the test photos: the originals,
        and those with rendered masks.
    """
    train, test = out / "train.csv", out / "test.csv"
    if train.exists() and test.exists():
        return train, test
    for name, source in SOURCES.items():
        if not (out / f"{name}.csv").exists():
            maskwise("data", "import", data / name, "--out", out / f"{name}.csv", *source.options)
    add_genders(out / "walking_masks.csv", data / GENDERS)
    people = out / "people.csv"
    merged = [out / f"{name}.csv" for name in SOURCES]
    maskwise("data", "merge", *merged, "--out", people, "--force")
    split_off(people, TESTED, "test")
    maskwise("data", "split", people, "--val", VALIDATED, "--seed", 0)
    rendered = [
        render_masks(out / f"{name}.csv", source.masked_every, worn)
        for name, source in SOURCES.items()
        if source.masked_every
        for worn in WORN
    ]
    joined = join(people, rendered)
    tested = pl.col("fold") == "test"
    for path, rows in ((test, joined.filter(tested)), (train, joined.filter(~tested))):
        with replacing(path) as temporary:
            rows.write_csv(temporary)
    return train, test


def add_genders(manifest: Path, table: Path) -> None:
    """Write the genders of a table of people into a manifest; incorrect masks lose their label."""
    people = pl.read_csv(table, infer_schema=False)
    person = pl.col("person").str.split(":").list.last()
    frame = pl.read_csv(manifest, infer_schema=False).with_columns(key=person)
    frame = frame.join(people, left_on="key", right_on="person", how="left", suffix="_given")
    known = pl.col("gender_given").is_in(["male", "female"])
    correct = ~pl.col("note").fill_null("").str.contains("incorrect|bare|back")
    frame.with_columns(
        gender=pl.when(known).then("gender_given"), mask=pl.when(correct).then("mask")
    ).drop("key", "gender_given", "note").write_csv(manifest)


def split_off(manifest: Path, share: float, fold: str) -> None:
    """Put a share of the people into a fold of their own; the others have none yet."""
    maskwise("data", "split", manifest, "--val", share, "--seed", 0, "--reassign")
    frame = pl.read_csv(manifest, infer_schema=False)
    apart = pl.when(pl.col("fold") == "val").then(pl.lit(fold)).otherwise(None)
    frame.with_columns(apart.alias("fold")).write_csv(manifest)


def render_masks(manifest: Path, every: int, worn: str) -> Path:
    """Render masks worn in one way on some faces, bare ones beside; return the new manifest."""
    chosen = manifest.with_name(f"{manifest.stem}-{worn}.csv")
    faces = pl.read_csv(manifest, infer_schema=False)
    faces.gather_every(every, WORN.index(worn)).write_csv(chosen)
    out = chosen.with_suffix("")
    counts = [word for way in WORN for word in (f"--{way}", int(way == worn))]
    maskwise("data", "mask", chosen, "--out", out, *counts, "--bare", 1, "--seed", 0)
    return out / "manifest.csv"


def join(people: Path, rendered: list[Path]) -> pl.DataFrame:
    """Return all photos, with absolute paths and the folds of their people.

    Of a training face with a rendered mask the bare photo is the one beside it, of the same shape,
    so that the shape does not give the mask away. Test faces keep their original photo, too.
    """
    frame = _absolute(people)
    folds = dict(frame.select("person", "fold").iter_rows())
    made = pl.concat([_absolute(path) for path in rendered], how="diagonal")
    made = made.with_columns(fold=pl.col("person").replace_strict(folds))
    test = pl.col("fold") == "test"
    made = made.filter(~test | (pl.col("mask") != "not_wear"))
    lists = [pl.read_csv(path.with_name("drawn.csv"), infer_schema=False) for path in rendered]
    originals = {photo for drawn in lists for photo in drawn["from"]}
    doubled = pl.col("photo").is_in(list(originals)) & ~test
    joined = pl.concat([made, frame.filter(~doubled)], how="diagonal")
    rare = (pl.col("source") == REAL) & (pl.col("mask") == "incorrect") & ~test
    return joined.with_columns(
        source=pl.when(rare).then(pl.lit(RARE)).otherwise("source"),
    )


def _absolute(manifest: Path) -> pl.DataFrame:
    folder = manifest.resolve().parent
    paths = pl.col("photo").map_elements(lambda photo: str(folder / photo), pl.String)
    return pl.read_csv(manifest, infer_schema=False).with_columns(photo=paths)
