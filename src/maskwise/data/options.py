"""What an import may be told, and what every layout's reader shares."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from maskwise.data.photo_files import PassedOver
from maskwise.errors import ManifestError, SettingsError, did_you_mean, listed
from maskwise.labels import TASKS

# `face-12` is a photo of its own, but `ilc-00a2-1` and `100012-0` are faces of one photo
_FACE_OF_PHOTO: Final = re.compile(r"^(.*\d.*)-\d{1,2}$")
_MASK_WORDS: Final = {
    "wear": "wear",
    "withmask": "wear",
    "mask": "wear",
    "incorrect": "incorrect",
    "incorrectmask": "incorrect",
    "maskwearedincorrect": "incorrect",
    "notwear": "not_wear",
    "withoutmask": "not_wear",
    "nomask": "not_wear",
}
_GENDER_WORDS: Final = {
    **dict.fromkeys(("male", "man", "men", "boy", "boys"), "male"),
    **dict.fromkeys(("female", "woman", "women", "girl", "girls"), "female"),
}
MASK_WORDS_SAID: Final = (
    "wear (with_mask), incorrect (mask_weared_incorrect), not_wear (without_mask), or a gender and "
    "one of these, such as female_wear"
)
Row = dict[str, object]


@dataclass(frozen=True)
class ImportOptions:
    """What a reader may be told beside the folder.

    Raises:
        SettingsError: the pattern is no regular expression with a group, or a label is unknown.
    """

    source: str
    """Name of the set, written into every row."""
    columns: dict[str, str] = field(default_factory=dict)
    """For CSV files: manifest column -> the file's column."""
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    """For CSV files: manifest column -> the file's value -> our word."""
    photos: Path | None = None
    """For CSV files and boxes: the folder that the photo names start from."""
    person_pattern: str | None = None
    """Regular expression whose first group is the person.

    It is searched for in the file's name without its ending, else in the path below the folder.
    """
    labels: dict[str, str] = field(default_factory=dict)
    """Task -> class name of every photo that has no label of its own for the task."""
    skip_bad: bool = False
    """Leave out what cannot be understood, and collect it in `skipped`, instead of refusing."""
    skipped: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What a person should check although nothing is wrong for certain."""
    unused_columns: list[str] = field(default_factory=list)
    """Columns of a CSV file that the manifest has nothing of."""
    passed_over: PassedOver = field(default_factory=Counter)
    """Why files were passed over -> how many."""
    without_pattern: list[str] = field(default_factory=list)
    """Names in which `person_pattern` was not found."""
    ages_across: list[str] = field(default_factory=list)
    """Photos without an age label, as their range of ages crosses a boundary of age groups."""

    def __post_init__(self) -> None:
        wrong = [
            f"--label {task}={name}: expected {task}={'|'.join(TASKS[task])}"
            f"{did_you_mean(name, TASKS[task])}"
            if task in TASKS
            else f"--label {task}={name}: expected one of {', '.join(TASKS)}"
            f"{did_you_mean(task, TASKS)}"
            for task, name in self.labels.items()
            if task not in TASKS or name not in TASKS[task]
        ]
        if wrong:
            raise SettingsError("\n".join(wrong))
        if self.person_pattern is None:
            return
        try:
            groups = re.compile(self.person_pattern).groups
        except re.error as error:
            raise SettingsError(f"--person-pattern {self.person_pattern}: {error}") from error
        if not groups:
            raise SettingsError(
                f"--person-pattern {self.person_pattern}: put the person's part in parentheses"
            )

    def person(self, stem: str, folder: str = "") -> str:
        """Return the person of a photo that names nobody.

        Faces of one photo (`123-0`, `123-1`) are one person. Any other photo is a person of its
        own, told apart by `folder` where folders number their photos alike.
        """
        stem = stem.strip()
        name = f"{folder}/{stem}" if folder else stem
        pattern = re.compile(self.person_pattern) if self.person_pattern else _FACE_OF_PHOTO
        places = (stem, name) if self.person_pattern else (stem,)
        for place in places:
            found = pattern.search(place)
            if found and found.group(1):
                return f"{self.source}:{found.group(1).strip()}"
        if self.person_pattern:
            self.without_pattern.append(name)
        return f"{self.source}:{name}"

    def person_of_name(self, name: str) -> str:
        """Return the person of a photo that a table names, perhaps with folders before."""
        path = PurePosixPath(name.replace("\\", "/"))
        place = path.parent.as_posix()
        return self.person(path.stem, "" if place in (".", "/") else place)

    def note_age_across(self, row: Row) -> None:
        """Note a row that has no age label as its range of ages crosses a boundary of groups."""
        if "age_group" in row and row["age_group"] is None and "age" not in row:
            self.ages_across.append(str(row["photo"]))

    def refuse(self, where: Path, problems: Sequence[str]) -> None:
        """Refuse what cannot be understood, or note it where it is to be skipped.

        Raises:
            ManifestError: there are problems, and they are not to be skipped.
        """
        if problems and not self.skip_bad:
            raise ManifestError(
                f"{where}: {len(problems)} problem(s) (--skip-bad leaves them out):\n"
                f"{listed(problems)}"
            )
        self.skipped.extend(problems)


def mask_word(name: str) -> str | None:
    """Return the mask state that a folder or object name means, whatever its spelling."""
    plain = re.sub(r"[\s_-]", "", name.lower())
    return _MASK_WORDS.get(plain)


def folder_labels(name: str) -> dict[str, str] | None:
    """Return the labels that a folder's name means, or None where it means no mask state.

    Example:
        >>> folder_labels("female_not_wear")
        {'gender': 'female', 'mask': 'not_wear'}
    """
    words = re.findall("[a-z]+", name.lower())
    genders = {_GENDER_WORDS[word] for word in words if word in _GENDER_WORDS}
    mask = mask_word("".join(word for word in words if word not in _GENDER_WORDS))
    if mask is None or len(genders) > 1:
        return None
    return {**({"gender": genders.pop()} if genders else {}), "mask": mask}
