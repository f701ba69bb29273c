"""Readers of folder layouts: each yields one manifest row per photo."""

import difflib
import re
from collections.abc import Iterator, Sequence
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
from maskwise.data.photo_files import photo_at, photos_directly_in, photos_in, subfolders
from maskwise.errors import ManifestError, listed
from maskwise.labels import NUM_CLASSES, TASKS, decode_class

# the published set has names with the race missing, and with the dot before jpg missing
_UTKFACE: Final = re.compile(r"^(\d{1,3})_([01])_(?:[0-4]_)?\d{8,}\D*$")
_DECADE: Final = re.compile(r"^(\d0)([FM])$", re.IGNORECASE)
# a race may have underscores (Latino_Hispanic), and so may the words of an age (more_than_70)
_NAMED_FILE: Final = re.compile(
    r"^([^_]+)_(male|female)_([a-z_ -]*?[a-z])_(\d.*|(?:more|less|over|under|above|below)[_ ].*)$",
    re.IGNORECASE,
)
_PERSON_FOLDER: Final = re.compile(r"^([^_]+)_(male|female)_([^_]+)_(\d{1,3})$")


def read_competition(folder: Path, options: ImportOptions) -> Iterator[Row]:
    """Read folders such as `000001_female_Asian_45` of seven photos; `train.csv` corrects them."""
    images = _competition_images(folder)
    people = [child.name for child in subfolders(images)]
    corrected = _train_csv(images.parent / "train.csv", people, options)
    problems = _loose_photos(images, "folders of people")
    for person_folder in subfolders(images):
        named = _PERSON_FOLDER.match(person_folder.name)
        if not named or int(named[4]) > MAX_AGE:
            problems.append(f"{person_folder}: expected a name such as 000001_female_Asian_45")
            continue
        person, gender, _, age = named.groups()
        gender, age = corrected.get(person_folder.name, (gender, age))
        for photo in photos_in(person_folder, options.passed_over):
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
        if not name or gender not in TASKS["gender"] or not age.isdigit() or int(age) > MAX_AGE:
            problems.append(f"row {number}: expected path, gender male or female, and a whole age")
        elif name not in folders:
            close = difflib.get_close_matches(name, folders, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
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


def read_answers(folder: Path, options: ImportOptions) -> Iterator[Row]:
    """Read an evaluation folder: `images/` and `gt.csv`, or `info.csv` where no answers are known.

    Both files have the columns ImageID and ans; `info.csv` holds no real answers.
    """
    answers = folder / "gt.csv"
    table = answers if answers.is_file() else folder / "info.csv"
    problems = []
    for number, row in read_rows(table, ("ImageID", "ans")):
        name, answer = row.get("ImageID"), row.get("ans") or ""
        if not name or not (answer.isdigit() and int(answer) < NUM_CLASSES):
            problems.append(f"row {number}: expected ImageID and an ans from 0 to 17")
            continue
        labels = _words_of_class(int(answer)) if table == answers else {}
        yield {
            "photo": str(photo_at(folder / "images", name)),
            "person": options.person_of_name(name),
            "source": options.source,
            **labels,
        }
    options.refuse(table, problems)


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
    problems = _loose_photos(folder, "folders of decades")
    for decade_folder in subfolders(folder):
        named = _DECADE.match(decade_folder.name)
        if not named:
            problems += _unread(decade_folder, "a decade and F or M, such as 20F")
            continue
        decade = int(named[1])
        for photo in photos_in(decade_folder, options.passed_over):
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
    problems = _loose_photos(folder, "folders of mask states")
    for state_folder in subfolders(folder):
        labels = folder_labels(state_folder.name)
        if labels is None:
            problems += _unread(state_folder, MASK_WORDS_SAID)
            continue
        for photo in photos_in(state_folder, options.passed_over):
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


def _loose_photos(folder: Path, beside: str) -> list[str]:
    """Return the problem of photos that lie beside the folders that tell the labels."""
    loose = photos_directly_in(folder)
    return (
        [f"{folder}: {len(loose)} photos beside the {beside}, such as {loose[0].name}"]
        if loose
        else []
    )


def _unread(folder: Path, expected: str) -> list[str]:
    """Return the problem of a folder whose name means nothing, if it holds photos."""
    count = sum(1 for _ in photos_in(folder))
    return [f"{folder}: {count} photos; expected a folder named {expected}"] if count else []


def is_competition(folder: Path) -> bool:
    """Return whether a folder has the competition's layout."""
    try:
        return bool(_competition_images(folder))
    except ManifestError:
        return False


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
