r"""Builds a public twin of the boostcamp AI Tech "Mask Image Classification" data.

    python -m benchmarks.competition_twin ../shared/data/all_age_faces --out twin

The competition's photos are under copyright. The twin has their layout, size and proportions, made
from a set whose file names give gender and age, such as All-Age-Faces (mostly Asian adults, one
photo a person):

    twin/
        train/train.csv                                 id, gender, race, age, path
        train/images/000001_female_Asian_45/            mask1..mask5, incorrect_mask, normal .jpg
        eval/info.csv, eval/gt.csv                      ImageID, ans
        eval/images/                                    the same seven photos of each other person
        eval/people.csv                                 ImageID, person: the photo it was made from
        twin.json                                       how many people and photos it has, of what

Seven photos a person, 384x512 pixels; masks are rendered (`maskwise data mask`). As there, nobody
is younger than 18 and ages above 60 are written as 60; for each man there are 1.6 women, and the
age groups stand 7 : 6 : 1, as far as people suffice. Of 4,500 people three fifths train, the others
evaluate; a person is in one of both, and of near-duplicate photos the first is used. The seed
decides everything. A stopped run goes on when the command is given again.
"""

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from PIL import Image

from maskwise.cores import core_count
from maskwise.data.derived import DerivedSet, derive_set, save_photo
from maskwise.data.duplicates import find_twins, fingerprint_photos
from maskwise.data.layouts import PEOPLE_FILE
from maskwise.data.masks import MaskStep
from maskwise.data.options import ImportOptions
from maskwise.data.sources import import_source
from maskwise.data.split import join_people
from maskwise.data.workers import map_in_order
from maskwise.errors import ManifestError, MaskwiseError
from maskwise.labels import TASKS, age_group_of, encode_class
from maskwise.storage import write_csv, write_json
from maskwise.transforms.decode import decode_photo

SIZE: Final = (384, 512)
PEOPLE: Final = 4500
EVAL_SHARE: Final = 0.4
GENDERS: Final = {"male": 1.0, "female": 1.6}
AGE_GROUPS: Final = {"young": 7.0, "middle": 6.0, "old": 1.0}
YOUNGEST, OLDEST = 18, 60
RACE: Final = "Asian"
WORN, WRONG, BARE = 5, 1, 1
EYES_AT: Final = 0.42
"""Height of the eyes in a photo, from above, as far as its edges allow."""
RENDERED: Final = "rendered"
"""Folder of the photos before they are cut to size."""
QUALITY: Final = 92


@dataclass(frozen=True)
class Person:
    """One person of the twin."""

    number: int
    gender: str
    age: int
    """As written: at most 60."""
    photo: str
    evaluates: bool

    @property
    def folder(self) -> str:
        """The folder of a training person."""
        return f"{self.number:06d}_{self.gender}_{RACE}_{self.age}"


def adults(data: Path) -> pl.DataFrame:
    """Return the people of 18 and over of known gender and age, one photo each, without twins."""
    frame = import_source(data, ImportOptions(data.resolve().name))
    frame = frame.filter(pl.col("age") >= YOUNGEST, pl.col("gender").is_not_null())
    prints = fingerprint_photos(frame["photo"].to_list(), core_count())
    groups = join_people(frame["person"].to_list(), find_twins(prints))
    first = np.flatnonzero(np.array(groups) == np.arange(len(groups)))
    return frame[first]


def choose_people(frame: pl.DataFrame, count: int, seed: int) -> list[Person]:
    """Return at most `count` people in the competition's proportions, drawn by the seed.

    If a cell of gender and age group has too few people, all cells shrink alike.
    """
    group = frame["age"].map_elements(age_group_of, return_dtype=pl.String)
    frame = frame.with_columns(age_group=group)
    share = {
        (gender, group): one * other / sum(GENDERS.values()) / sum(AGE_GROUPS.values())
        for gender, one in GENDERS.items()
        for group, other in AGE_GROUPS.items()
    }
    cells = {
        key: frame.filter(pl.col("gender") == key[0], pl.col("age_group") == key[1])
        for key in share
    }
    empty = [f"{gender} {group}" for (gender, group), cell in cells.items() if cell.is_empty()]
    if empty:
        raise ManifestError(
            f"nobody is {', nobody '.join(empty)}: the twin needs people of 18 and over, with ages "
            "in years, of every gender and age group"
        )
    total = min(count, *(int(len(cells[key]) / part) for key, part in share.items()))
    drawn: list[tuple[bytes, Person]] = []
    for key, part in share.items():
        ranked = sorted(
            cells[key].iter_rows(named=True), key=lambda row: _rank(seed, Path(row["photo"]).name)
        )
        wanted = round(total * part)
        for place, row in enumerate(ranked[:wanted]):
            age = min(row["age"], OLDEST)
            evaluates = place < round(wanted * EVAL_SHARE)
            person = Person(0, key[0], age, row["photo"], evaluates)
            drawn.append((_rank(seed + 1, Path(row["photo"]).name), person))
    ordered = [person for _, person in sorted(drawn, key=lambda pair: pair[0])]
    return [
        Person(number, one.gender, one.age, one.photo, one.evaluates)
        for number, one in enumerate(ordered, start=1)
    ]


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode()).digest()


def render(people: Sequence[Person], out: Path, seed: int, workers: int) -> DerivedSet:
    """Render the seven photos of each person: five with masks worn correctly, one incorrectly."""
    frame = pl.DataFrame(
        [
            {"photo": one.photo, "person": f"{one.number:06d}", "mask": "not_wear",
             "gender": one.gender, "age": one.age, "age_group": age_group_of(one.age),
             "box": None, "source": "twin", "fold": None}
            for one in people
        ],
        schema_overrides={"box": pl.String, "fold": pl.String},
    )  # fmt: skip
    step = MaskStep("yunet", wear=WORN, incorrect=WRONG, bare=BARE, seed=seed)
    done = _Counted("rendering", len(people))
    return derive_set(
        frame, out / RENDERED, step, workers, done, stems=[f"{one.folder}/0" for one in people]
    )


class _Counted:
    """Says now and then how far some work is."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0

    def __call__(self, more: int) -> None:
        before, self._done = self._done, self._done + more
        if before // 500 != self._done // 500 or self._done == self._total:
            print(f"{self._what} {self._done}/{self._total}", flush=True)


def window(size: tuple[int, int], eyes: tuple[float, float]) -> tuple[int, int, int, int]:
    """Return the largest part of 3:4 of a photo of (width, height), with the eyes about its middle.

    Returns:
        Left, top, right and bottom in pixels, inside the photo.
    """
    width, height = size
    across = min(width, height * SIZE[0] / SIZE[1])
    down = across * SIZE[1] / SIZE[0]
    left = min(max(eyes[0] - across / 2, 0), width - across)
    top = min(max(eyes[1] - EYES_AT * down, 0), height - down)
    return round(left), round(top), round(left + across), round(top + down)


@dataclass(frozen=True)
class Cut:
    """A rendered photo, where its eyes are, and where it goes."""

    source: Path
    eyes: tuple[float, float]
    target: Path


def cut(photo: Cut) -> None:
    """Write one photo of the twin."""
    if photo.target.exists():
        return
    image = decode_photo(photo.source)
    part = image.crop(window(image.size, photo.eyes))
    save_photo(part.resize(SIZE, Image.Resampling.LANCZOS), photo.target, QUALITY)


def photo_name(person: Person, name: str) -> str:
    """Return the name of an evaluation photo: it says nothing of the person."""
    return hashlib.sha256(f"{person.number} {name}".encode()).hexdigest()[:40] + ".jpg"


def photos_of(made: DerivedSet, people: Sequence[Person]) -> Iterator[tuple[Person, list[Any]]]:
    """Yield the people of whom all seven photos were made, with the rows of these."""
    for person, outcome in zip(people, made.outcomes, strict=True):
        if len(outcome.rows) == WORN + WRONG + BARE:
            yield person, outcome.rows


def build(data: Path, out: Path, count: int, seed: int, workers: int) -> dict[str, Any]:
    """Build the twin, or go on with it; return its numbers."""
    people = choose_people(adults(data), count, seed)
    made = render(people, out, seed, workers)
    kept = list(photos_of(made, people))
    cuts, truth, origins = [], [], []
    for person, rows in kept:
        for row in rows:
            source, name = out / RENDERED / row["photo"], Path(row["photo"]).name
            if person.evaluates:
                target = out / "eval" / "images" / photo_name(person, name)
                truth.append((target.name, _class_of(row["mask"], person)))
                origins.append((target.name, Path(person.photo).name))
            else:
                target = out / "train" / "images" / person.folder / name
            cuts.append(Cut(source, (row["drawn"]["x"], row["drawn"]["y"]), target))
    done = _Counted("cutting", len(cuts))
    for _ in map_in_order(cut, cuts, workers, chunk=64, few=128):
        done(1)
    _write_tables(out, [person for person, _ in kept if not person.evaluates], truth)
    write_csv(out / "eval" / PEOPLE_FILE, ("ImageID", "person"), sorted(origins))
    numbers = _numbers(kept, made, len(people))
    write_json(out / "twin.json", numbers)
    return numbers


def _class_of(mask: str, person: Person) -> int:
    names = {"mask": mask, "gender": person.gender, "age_group": age_group_of(person.age)}
    codes = [np.array([TASKS[task].index(name)]) for task, name in names.items()]
    return int(encode_class(*codes)[0])


def _write_tables(out: Path, people: Sequence[Person], truth: list[tuple[str, int]]) -> None:
    rows = [(f"{one.number:06d}", one.gender, RACE, one.age, one.folder) for one in people]
    write_csv(out / "train" / "train.csv", ("id", "gender", "race", "age", "path"), rows)
    truth = sorted(truth)
    write_csv(out / "eval" / "gt.csv", ("ImageID", "ans"), truth)
    write_csv(out / "eval" / "info.csv", ("ImageID", "ans"), [(name, 0) for name, _ in truth])


def _numbers(
    kept: Sequence[tuple[Person, list[Any]]], made: DerivedSet, chosen: int
) -> dict[str, Any]:
    def part(evaluates: bool) -> dict[str, Any]:
        people = [person for person, _ in kept if person.evaluates is evaluates]
        cells = {
            f"{gender} {group}": sum(
                one.gender == gender and age_group_of(one.age) == group for one in people
            )
            for gender in GENDERS
            for group in AGE_GROUPS
        }
        return {"people": len(people), "photos": 7 * len(people), **cells}

    unread = len(made.errors())
    return {
        "chosen": chosen,
        "train": part(evaluates=False),
        "eval": part(evaluates=True),
        "left_out": {
            "photo cannot be read": unread,
            "no face that a mask fits": chosen - len(kept) - unread,
        },
    }


def main(words: Sequence[str] | None = None) -> None:
    """Build the twin and print its numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=core_count())
    options = parser.parse_args(words)
    try:
        numbers = build(options.data, options.out, options.people, options.seed, options.workers)
    except MaskwiseError as error:
        parser.error(str(error))
    print("| | people | photos | " + " | ".join(list(numbers["train"])[2:]) + " |")
    print("|" + "---|" * (1 + len(numbers["train"])))
    for name in ("train", "eval"):
        print(f"| {name} | " + " | ".join(str(value) for value in numbers[name].values()) + " |")
    print(f"left out: {numbers['left_out']}")


if __name__ == "__main__":
    main()
