"""Builds the twin; see the package."""

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import competition_twin
from benchmarks.competition_twin.people import (
    AGE_GROUPS,
    GENDERS,
    PEOPLE,
    RACE,
    Person,
    adults,
    choose_people,
)
from benchmarks.competition_twin.photos import (
    BARE,
    RENDERED,
    WORN,
    WRONG,
    Counted,
    Cut,
    cut,
    render,
)
from maskwise.cores import core_count
from maskwise.data.derived import DerivedSet
from maskwise.data.layouts import PEOPLE_FILE
from maskwise.data.workers import map_in_order
from maskwise.errors import MaskwiseError
from maskwise.labels import TASKS, age_group_of, encode_class
from maskwise.storage import write_csv, write_json


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
    done = Counted("cutting", len(cuts))
    for _ in map_in_order(cut, cuts, workers, chunk=32, few=64):
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
    parser = argparse.ArgumentParser(description=(competition_twin.__doc__ or "").splitlines()[0])
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
