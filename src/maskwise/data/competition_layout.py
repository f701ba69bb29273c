"""The reader of the competition's layout: a folder for each person, with seven photos."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from maskwise.data.age_ranges import MAX_AGE
from maskwise.data.csv_files import read_rows
from maskwise.data.options import ImportOptions, Row
from maskwise.data.photo_files import loose_photos, photos_in, subfolders
from maskwise.errors import ManifestError, did_you_mean, listed
from maskwise.labels import TASKS

_PERSON_FOLDER: Final = re.compile(r"^([^_]+)_(male|female)_([^_]+)_(\d{1,3})$")


def read_competition(folder: Path, options: ImportOptions) -> Iterator[Row]:
    """Read folders such as `000001_female_Asian_45` of seven photos; `train.csv` corrects them."""
    images = _competition_images(folder)
    people = [child.name for child in subfolders(images)]
    corrected = _train_csv(images.parent / "train.csv", people, options)
    problems = loose_photos(images, "folders of people")
    for person_folder in subfolders(images):
        named = _PERSON_FOLDER.match(person_folder.name)
        if not named or int(named[4]) > MAX_AGE:
            problems.append(f"{person_folder}: expected a name such as 000001_female_Asian_45")
            continue
        person, gender, _, age = named.groups()
        gender, age = corrected.get(person_folder.name, (gender, age))
        for photo in photos_in(person_folder, options.passed_over, images):
            mask = _competition_mask(photo.stem)
            if mask is None:
                problems.append(f"{photo}: expected mask1..5, incorrect_mask or normal")
                continue
            yield {
                "photo": str(photo),
                "person": (
                    options.person(photo.stem, person_folder.name)
                    if options.person_pattern
                    else person
                ),
                "mask": mask,
                "gender": gender,
                "age": int(age),
                "source": options.source,
            }
    options.refuse(folder, problems)


def _competition_images(folder: Path) -> Path:
    for candidate in (folder / "train" / "images", folder / "images", folder):
        if candidate.is_dir() and any(_PERSON_FOLDER.match(p.name) for p in subfolders(candidate)):
            return candidate
    raise ManifestError(f"{folder}: no folders such as images/000001_female_Asian_45")


def _competition_mask(stem: str) -> str | None:
    name = re.fullmatch(r"(mask\d+|incorrect_mask\d*|normal\d*)", stem)
    words = {"mask": "wear", "incorrect_mask": "incorrect", "normal": "not_wear"}
    return words[stem.rstrip("0123456789")] if name else None


def _train_csv(
    path: Path, folders: Sequence[str], options: ImportOptions
) -> dict[str, tuple[str, str]]:
    """Return folder name -> (gender, age) from the competition's train.csv, if it is there."""
    if not path.is_file():
        return {}
    corrected: dict[str, tuple[str, str]] = {}
    columns = ("path", "gender", "age")
    rows = read_rows(path, columns)
    if not rows or not set(columns) <= set(rows[0][1]):
        raise ManifestError(f"{path}: expected rows with the columns {', '.join(columns)}")
    problems = []
    for number, row in rows:
        name, gender, age = (row.get(key, "").strip() for key in ("path", "gender", "age"))
        gender = gender.lower()
        if not name or gender not in TASKS["gender"] or not age.isdecimal() or int(age) > MAX_AGE:
            problems.append(f"row {number}: expected path, gender male or female, and a whole age")
        elif name not in folders:
            hint = did_you_mean(name, folders)
            problems.append(f"row {number}: there is no folder {name}{hint}")
        elif name in corrected:
            problems.append(f"row {number}: {name} stands in an earlier row, too")
        else:
            corrected[name] = (gender, age)
    options.refuse(path, problems)
    alone = sorted(set(folders) - corrected.keys())
    if alone:
        options.warnings.append(
            f"{len(alone)} folder(s) stand in no row of {path.name}; their names give the labels\n"
            f"{listed(alone, limit=3)}"
        )
    return corrected


def is_competition(folder: Path) -> bool:
    """Return whether a folder has the competition's layout."""
    try:
        return bool(_competition_images(folder))
    except ManifestError:
        return False
