"""Readers of folder layouts: each yields one manifest row per photo."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from maskwise.data.age_ranges import MAX_AGE, age_labels
from maskwise.data.csv_files import read_rows
from maskwise.data.options import (
    MASK_WORDS_SAID,
    ImportOptions,
    Row,
    folder_labels,
)
from maskwise.data.photo_files import loose_photos, photo_at, photos_in, subfolders
from maskwise.errors import listed
from maskwise.labels import NUM_CLASSES, TASKS, decode_class

# the published set has names with the race missing, and with the dot before jpg missing
_UTKFACE: Final = re.compile(r"^(\d{1,3})_([01])_(?:[0-4]_)?\d{8,}\D*$")
PEOPLE_FILE: Final = "people.csv"
"""In an evaluation folder: ImageID and person. The competition has none."""
_DECADE: Final = re.compile(r"^(\d0)([FM])$", re.IGNORECASE)
# a race may have underscores (Latino_Hispanic), and so may the words of an age (more_than_70)
_NAMED_FILE: Final = re.compile(
    r"^([^_]+)_(male|female)_([a-z_ -]*?[a-z])_(\d.*|(?:more|less|over|under|above|below)[_ ].*)$",
    re.IGNORECASE,
)


def read_answers(folder: Path, options: ImportOptions) -> Iterator[Row]:
    """Read an evaluation folder: `images/` and `gt.csv`, or `info.csv` where no answers are known.

    Both files have the columns ImageID and ans; `info.csv` holds no real answers. Where there is a
    `people.csv` (ImageID, person) it names the people; else each photo counts as one.
    """
    answers = folder / "gt.csv"
    table = answers if answers.is_file() else folder / "info.csv"
    people = _people(folder / PEOPLE_FILE, options)
    named = bool(people)
    unnamed: list[str] = []
    problems = []
    for number, row in read_rows(table, ("ImageID", "ans")):
        name, answer = row.get("ImageID"), row.get("ans") or ""
        if not name or not (answer.isdecimal() and int(answer) < NUM_CLASSES):
            problems.append(f"row {number}: expected ImageID and an ans from 0 to 17")
            continue
        labels = _words_of_class(int(answer)) if table == answers else {}
        if named and name not in people:
            unnamed.append(name)
        yield {
            "photo": str(photo_at(folder / "images", name)),
            "person": people.pop(name, None) or options.person_of_name(name),
            "source": options.source,
            **labels,
        }
    problems += [f"{PEOPLE_FILE}: {table.name} has no photo {name}" for name in people]
    if unnamed:
        options.warnings.append(
            f"{PEOPLE_FILE} does not name {len(unnamed)} photo(s); each counts as a person of its "
            f"own\n{listed(unnamed, limit=3)}"
        )
    options.refuse(table, problems)


def _people(path: Path, options: ImportOptions) -> dict[str, str]:
    """Return ImageID -> person of a table beside the photos, if it is there."""
    if not path.is_file() or options.person_pattern:
        return {}
    columns = ("ImageID", "person")
    people: dict[str, str] = {}
    problems = []
    for number, row in read_rows(path, columns):
        name, person = (row.get(column, "").strip() for column in columns)
        if not (name and person):
            problems.append(f"row {number}: expected ImageID and person")
        elif name in people:
            problems.append(f"row {number}: {name} stands in an earlier row, too")
        else:
            people[name] = f"{options.source}:{person}"
    options.refuse(path, problems)
    return people


def _words_of_class(number: int) -> Row:
    codes = decode_class(np.array([number]))
    return {task: TASKS[task][int(code[0])] for task, code in codes.items()}


def read_utkface(folder: Path, options: ImportOptions) -> Iterator[Row]:
    """Read file names such as `45_1_2_2017...jpg.chip.jpg`: age, gender (0 male), race, date."""
    problems = []
    for photo in photos_in(folder, options.passed_over):
        named = _UTKFACE.match(photo.stem)
        if not named or int(named[1]) > MAX_AGE:
            problems.append(f"{photo.name}: expected age_gender_race_date.jpg")
            continue
        yield {
            "photo": str(photo),
            "person": options.person(photo.name.split(".")[0]),
            "gender": TASKS["gender"][int(named[2])],
            "age": int(named[1]),
            "source": options.source,
        }
    options.refuse(folder, problems)


def read_decades(folder: Path, options: ImportOptions) -> Iterator[Row]:
    """Read folders such as `20F`: decade of age and gender. The exact age stays unknown.

    A decade gives the age group because the task's boundaries, 30 and 60, begin decades.
    """
    problems = loose_photos(folder, "folders of decades")
    for decade_folder in subfolders(folder):
        named = _DECADE.match(decade_folder.name)
        if not named:
            problems += _unread(decade_folder, "a decade and F or M, such as 20F")
            continue
        decade = int(named[1])
        for photo in photos_in(decade_folder, options.passed_over, folder):
            yield {
                "photo": str(photo),
                "person": options.person(photo.stem, _place(photo, folder)),
                "gender": "female" if named[2].upper() == "F" else "male",
                **age_labels(f"{decade}-{decade + 9}"),
                "source": options.source,
            }
    options.refuse(folder, problems)


def read_mask_folders(folder: Path, options: ImportOptions) -> Iterator[Row]:
    """Read folders named by mask state, or gender and mask state; the age stays unknown."""
    problems = loose_photos(folder, "folders of mask states")
    for state_folder in subfolders(folder):
        labels = folder_labels(state_folder.name)
        if labels is None:
            problems += _unread(state_folder, MASK_WORDS_SAID)
            continue
        for photo in photos_in(state_folder, options.passed_over, folder):
            yield {
                "photo": str(photo),
                "person": options.person(photo.stem, _place(photo, folder)),
                **labels,
                "source": options.source,
            }
    options.refuse(folder, problems)


def read_file_names(folder: Path, options: ImportOptions) -> Iterator[Row]:
    """Read file names such as `00924_female_Asian_16.jpg`: id, gender, race, age or ages.

    Photos of one id in one folder are one person.
    """
    problems, rows = [], []
    genders: dict[str, set[str]] = {}
    for photo in photos_in(folder, options.passed_over):
        named = _NAMED_FILE.match(photo.stem)
        if not named:
            problems.append(f"{photo}: expected id_gender_race_age.jpg, such as 1_female_Asian_45")
            continue
        number, gender, _, ages = named.groups()
        try:
            labels = age_labels(re.sub(r"(?<=\d)_(?=\d)", "-", ages).replace("_", " "))
        except ValueError as error:
            problems.append(f"{photo}: {error}")
            continue
        person = options.person(
            photo.stem if options.person_pattern else number, _place(photo, folder)
        )
        genders.setdefault(person, set()).add(gender.lower())
        rows.append({
            "photo": str(photo),
            "person": person,
            "gender": gender.lower(),
            "source": options.source,
            **labels,
        })  # fmt: skip
    both = {person for person, found in genders.items() if len(found) > 1}
    problems += [
        f"person {person} is male and female: give --person-pattern, so that an id is one person"
        for person in sorted(both)
    ]
    for row in rows:
        if row["person"] in both:
            continue
        options.note_age_across(row)
        yield row
    options.refuse(folder, problems)


def _place(photo: Path, folder: Path) -> str:
    """Return the folder of a photo below another, '' for that itself."""
    place = photo.parent.relative_to(folder).as_posix()
    return "" if place == "." else place


def read_photos(folder: Path, options: ImportOptions) -> Iterator[Row]:
    """Read any folder of photos; their labels are those of `--label`."""
    for photo in photos_in(folder, options.passed_over):
        yield {
            "photo": str(photo),
            "person": options.person(photo.stem, _place(photo, folder)),
            "source": options.source,
        }


def _unread(folder: Path, expected: str) -> list[str]:
    """Return the problem of a folder whose name means nothing, if it holds photos."""
    count = sum(1 for _ in photos_in(folder))
    return [f"{folder}: {count} photos; expected a folder named {expected}"] if count else []


def is_answers(folder: Path) -> bool:
    """Return whether a folder is an evaluation folder."""
    has_table = (folder / "gt.csv").is_file() or (folder / "info.csv").is_file()
    return has_table and (folder / "images").is_dir()


def is_utkface(folder: Path) -> bool:
    """Return whether a folder holds photos named as UTKFace does."""
    return any(_UTKFACE.match(photo.stem) for photo in photos_in(folder))


def is_file_names(folder: Path) -> bool:
    """Return whether a folder holds photos named by id, gender, race and age."""
    return any(_NAMED_FILE.match(photo.stem) for photo in photos_in(folder))


def is_decades(folder: Path) -> bool:
    """Return whether a folder holds decade folders."""
    return any(_DECADE.match(child.name) for child in subfolders(folder))


def is_mask_folders(folder: Path) -> bool:
    """Return whether a folder holds folders named by mask state."""
    return any(folder_labels(child.name) for child in subfolders(folder))
