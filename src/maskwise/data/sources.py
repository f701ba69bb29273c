"""Folder layouts and label files -> manifest rows.

Every reader takes the folder (or file) and the options, and yields one row per photo or face.
`detect_layout` asks each whether it knows the folder; `import_source` runs the one that does.
"""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from maskwise.data.columns import read_csv_columns
from maskwise.data.manifest import MAX_AGE, manifest_from_rows
from maskwise.data.voc import read_voc
from maskwise.errors import ManifestError, listed
from maskwise.labels import TASK_BOUNDARIES, TASKS, decode_class

PHOTO_SUFFIXES: Final = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
)
MASK_FOLDERS: Final = {
    "wear": "wear",
    "with_mask": "wear",
    "incorrect": "incorrect",
    "mask_weared_incorrect": "incorrect",
    "incorrect_mask": "incorrect",
    "not_wear": "not_wear",
    "without_mask": "not_wear",
}
# the published set has names with the race missing, and with the dot before jpg missing
_UTKFACE = re.compile(r"^(\d{1,3})_([01])_(?:[0-4]_)?\d{8,}\D*$")
_DECADE = re.compile(r"^(\d0)([FM])$")
_PERSON_FOLDER = re.compile(r"^([^_]+)_(male|female)_([^_]+)_(\d{1,3})$")
_FACE_OF_PHOTO = re.compile(r"^(.+)-\d{1,2}$")
Row = dict[str, object]


@dataclass(frozen=True)
class ImportOptions:
    """What a reader may be told beside the folder."""

    source: str
    """Name of the set, written into every row."""
    columns: dict[str, str] = field(default_factory=dict)
    """For CSV files: manifest column -> the file's column."""
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    """For CSV files: manifest column -> the file's value -> our word."""
    photos: Path | None = None
    """For CSV files and boxes: the folder that the photo names start from."""
    person_pattern: str | None = None
    """Regular expression whose first group, found in the file name, is the person."""

    def person(self, stem: str) -> str:
        """Return the person of a photo that names nobody: faces numbered -0, -1 stay together."""
        pattern = re.compile(self.person_pattern) if self.person_pattern else _FACE_OF_PHOTO
        found = pattern.search(stem)
        return f"{self.source}:{(found.group(1) if found else stem).strip()}"


def photos_in(folder: Path) -> Iterator[Path]:
    """Yield the photos directly in a folder by name; hidden and `._*` files are left out."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PHOTO_SUFFIXES and not path.name.startswith("."):
            yield path


def _subfolders(folder: Path) -> list[Path]:
    return sorted(
        child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")
    )


def read_competition(folder: Path, options: ImportOptions) -> Iterator[Row]:
    """Read folders such as `000001_female_Asian_45` of seven photos; `train.csv` corrects them."""
    images = _competition_images(folder)
    corrected = _train_csv(images.parent / "train.csv")
    problems = []
    for person_folder in _subfolders(images):
        named = _PERSON_FOLDER.match(person_folder.name)
        if not named:
            problems.append(f"{person_folder}: expected a name such as 000001_female_Asian_45")
            continue
        person, gender, _, age = named.groups()
        gender, age = corrected.get(person_folder.name, (gender, age))
        for photo in photos_in(person_folder):
            mask = _competition_mask(photo.stem)
            if mask is None:
                problems.append(f"{photo}: expected mask1..5, incorrect_mask or normal")
            yield {
                "photo": str(photo),
                "person": person,
                "mask": mask,
                "gender": gender,
                "age": int(age),
                "source": options.source,
            }
    _refuse(folder, problems)


def _competition_images(folder: Path) -> Path:
    for candidate in (folder / "train" / "images", folder / "images", folder):
        if candidate.is_dir() and any(_PERSON_FOLDER.match(p.name) for p in _subfolders(candidate)):
            return candidate
    raise ManifestError(f"{folder}: no folders such as images/000001_female_Asian_45")


def _competition_mask(stem: str) -> str | None:
    if re.fullmatch(r"mask\d", stem):
        return "wear"
    return {"incorrect_mask": "incorrect", "normal": "not_wear"}.get(stem)


def _train_csv(path: Path) -> dict[str, tuple[str, str]]:
    """Return folder name -> (gender, age) from the competition's train.csv, if it is there."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    problems = []
    for number, row in enumerate(rows, start=2):
        age = row.get("age") or ""
        if not row.get("path") or row.get("gender") not in TASKS["gender"] or not age.isdigit():
            problems.append(f"row {number}: expected path, gender male or female, and a whole age")
    _refuse(path, problems)
    return {row["path"]: (row["gender"], row["age"]) for row in rows}


def read_answers(folder: Path, options: ImportOptions) -> Iterator[Row]:
    """Read an evaluation folder: `images/` and `gt.csv`, or `info.csv` where no answers are known.

    Both files have the columns ImageID and ans; `info.csv` holds no real answers.
    """
    answers = folder / "gt.csv"
    table = answers if answers.is_file() else folder / "info.csv"
    problems = []
    with table.open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            name, answer = row.get("ImageID"), row.get("ans") or ""
            if not name or not (answer.isdigit() and int(answer) < 18):
                problems.append(f"row {number}: expected ImageID and an ans from 0 to 17")
                continue
            labels = _words_of_class(int(answer)) if table == answers else {}
            stem = Path(name).stem
            yield {
                "photo": str(folder / "images" / name),
                "person": options.person(stem),
                "source": options.source,
                **labels,
            }
    _refuse(table, problems)


def _words_of_class(number: int) -> Row:
    codes = decode_class(pl.Series([number]).to_numpy())
    return {task: TASKS[task][int(code[0])] for task, code in codes.items()}


def read_utkface(folder: Path, options: ImportOptions) -> Iterator[Row]:
    """Read file names such as `45_1_2_2017...jpg.chip.jpg`: age, gender (0 male), race, date."""
    problems = []
    for photo in photos_in(folder):
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
    _refuse(folder, problems)


def read_decades(folder: Path, options: ImportOptions) -> Iterator[Row]:
    """Read folders such as `20F`: decade of age and gender. The exact age stays unknown.

    A decade gives the age group because the task's boundaries, 30 and 60, begin decades.
    """
    for decade_folder in _subfolders(folder):
        named = _DECADE.match(decade_folder.name)
        if not named:
            continue
        decade = int(named[1])
        low, high = TASK_BOUNDARIES
        for photo in photos_in(decade_folder):
            yield {
                "photo": str(photo),
                "person": options.person(photo.stem),
                "gender": "female" if named[2] == "F" else "male",
                "age_group": TASKS["age_group"][(decade >= low) + (decade >= high)],
                "source": options.source,
            }


def read_mask_folders(folder: Path, options: ImportOptions) -> Iterator[Row]:
    """Read folders named by mask state; gender and age stay unknown."""
    for state_folder in _subfolders(folder):
        mask = MASK_FOLDERS.get(state_folder.name.lower())
        if mask is None:
            continue
        for photo in photos_in(state_folder):
            yield {
                "photo": str(photo),
                "person": options.person(photo.stem),
                "mask": mask,
                "source": options.source,
            }


def _refuse(where: Path, problems: list[str]) -> None:
    if problems:
        raise ManifestError(f"{where}: {len(problems)} problem(s):\n{listed(problems)}")


def _is_competition(folder: Path) -> bool:
    try:
        return bool(_competition_images(folder))
    except ManifestError:
        return False


def _is_answers(folder: Path) -> bool:
    has_table = (folder / "gt.csv").is_file() or (folder / "info.csv").is_file()
    return has_table and (folder / "images").is_dir()


def _is_utkface(folder: Path) -> bool:
    return any(_UTKFACE.match(photo.stem) for photo in photos_in(folder))


def _is_decades(folder: Path) -> bool:
    return any(_DECADE.match(child.name) for child in _subfolders(folder))


def _is_mask_folders(folder: Path) -> bool:
    return any(child.name.lower() in MASK_FOLDERS for child in _subfolders(folder))


def _is_voc(folder: Path) -> bool:
    annotations = folder / "annotations" if (folder / "annotations").is_dir() else folder
    return any(annotations.glob("*.xml"))


@dataclass(frozen=True)
class Layout:
    """How to know a layout and how to read it."""

    detect: Callable[[Path], bool]
    read: Callable[[Path, ImportOptions], Iterator[Row]]


LAYOUTS: Final[dict[str, Layout]] = {
    "competition": Layout(_is_competition, read_competition),
    "answers": Layout(_is_answers, read_answers),
    "decades": Layout(_is_decades, read_decades),
    "mask-folders": Layout(_is_mask_folders, read_mask_folders),
    "voc": Layout(_is_voc, lambda folder, options: read_voc(folder, options, MASK_FOLDERS)),
    "utkface": Layout(_is_utkface, read_utkface),
}
CSV_LAYOUT: Final = "csv"


def detect_layout(source: Path) -> str:
    """Return the name of the layout of a folder or file.

    Raises:
        ManifestError: it does not exist, or no layout fits.
    """
    if source.is_file():
        return CSV_LAYOUT
    if not source.is_dir():
        raise ManifestError(f"no folder or file at {source}")
    for name, layout in LAYOUTS.items():
        if layout.detect(source):
            return name
    raise ManifestError(
        f"{source}: no known layout ({', '.join(LAYOUTS)}); give --layout, or a CSV file"
    )


def import_source(source: Path, options: ImportOptions, layout: str | None = None) -> pl.DataFrame:
    """Return the manifest of a folder or CSV file; photo paths are absolute.

    Raises:
        ManifestError: no layout fits, there are no photos, or names and labels are wrong.
    """
    source = source.resolve()
    layout = layout or detect_layout(source)
    if layout == CSV_LAYOUT:
        rows = read_csv_columns(source, options)
    elif layout not in LAYOUTS:
        raise ManifestError(f"no layout {layout!r}; known: {', '.join([*LAYOUTS, CSV_LAYOUT])}")
    elif not source.is_dir():
        raise ManifestError(f"{source}: the layout {layout} needs a folder")
    else:
        rows = LAYOUTS[layout].read(source, options)
    frame = manifest_from_rows(rows)
    if frame.is_empty():
        raise ManifestError(f"{source}: no photos found as {layout}")
    return frame
