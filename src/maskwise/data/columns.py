"""Any CSV file with named columns -> manifest rows."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from maskwise.data.age_ranges import (
    AGE_RANGE,
    age_labels,
    groups_of_range,
    is_age_range,
    parse_age_range,
)
from maskwise.data.boxes import box_of_columns, pixel_box, used_box_columns
from maskwise.data.csv_files import NumberedRow, plain_name, read_rows
from maskwise.data.options import ImportOptions, Row, mask_word
from maskwise.data.photo_files import photo_at
from maskwise.errors import ManifestError, did_you_mean, listed
from maskwise.labels import TASKS, age_group_of

_COLUMN_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "photo": ("photo", "path", "image", "file", "filename", "imageid", "imagepath", "filepath"),
    "person": ("person", "personid", "id", "subject", "subjectid", "identity"),
    "mask": ("mask", "maskstate", "masklabel", "wear"),
    "gender": ("gender", "sex"),
    "age_range": ("agerange", "ages"),
    "age": ("age", "years"),
    "age_group": ("agegroup",),
    "box": ("box", "bbox"),
}
"""Manifest column -> names that files have for it, as `plain_name` returns them."""
_ROW_NUMBER: Final = "id"
"""A person's name in some files, and the number of the row in others."""
_UNKNOWN: Final = frozenset(("nan", "null", "none", "na", "n/a", "unknown", "undefined", "?", "-"))
"""What programs and people write where they know nothing."""
_UNCLEAR: Final = frozenset(("none", "na", "n/a"))
"""Of a mask these may mean that it is unknown or that none is worn."""
_WORDS: Final[dict[str, dict[str, str]]] = {
    "mask": {"worn": "wear", "yes": "wear", "no": "not_wear"},
    "gender": {"m": "male", "man": "male", "f": "female", "woman": "female"},
    "age_group": {},
}
Words = dict[str, dict[str, str]]
"""Manifest column -> what a file says -> our word, empty for nothing."""


def read_csv_columns(path: Path, options: ImportOptions) -> Iterator[Row]:
    """Yield manifest rows from a CSV file whose columns are named by `options` or by habit.

    Raises:
        ManifestError: no photo column, or wrong values; all problems at once, by row.
    """
    numbered = read_rows(path)
    names = list(numbered[0][1]) if numbered else []
    columns = _match_columns(path, names, options)
    _forget_row_numbers(columns, numbered, options)
    if options.person_pattern and "person" not in options.columns:
        columns.pop("person", None)
    box_columns = used_box_columns(names)
    used = {*columns.values(), *box_columns}
    options.unused_columns.extend(name for name in names if name not in used)
    words = {
        ours: {text.strip().casefold(): word for text, word in given.items()}
        for ours, given in options.values.items()
    }
    options.warnings.extend(_unmatched_words(words, columns, numbered))
    if plain_name(columns.get("box", "")) == "bbox":
        options.warnings.append(
            f"{columns['box']} is read as left, top, right, bottom; where it is left, top, width, "
            "height, give these in four columns"
        )
    folder = (options.photos or path.parent).resolve()
    problems: list[str] = []
    for number, row in numbered:
        result, wrong = _row(row, columns, box_columns, words)
        problems += [f"row {number}: {problem}" for problem in wrong]
        if wrong and options.skip_bad:
            continue
        if result.get("photo"):
            name = str(result["photo"])
            result.setdefault("person", options.person_of_name(name))
            options.note_age_across(result)
            yield {**result, "photo": str(photo_at(folder, name)), "source": options.source}
        else:
            problems.append(f"row {number}: the photo is empty")
    options.refuse(path, problems)


def _match_columns(path: Path, names: Sequence[str], options: ImportOptions) -> dict[str, str]:
    """Return manifest column -> file column, the ones given first."""
    given, problems = _given_columns(names, options)
    columns = dict(given)
    for ours, habits in _COLUMN_NAMES.items():
        found = [name for name in names if plain_name(name) in habits]
        if ours in given or not found:
            continue
        found = [name for name in found if plain_name(name) != _ROW_NUMBER] or found
        if len(found) > 1:
            problems.append(
                f"{' and '.join(map(repr, found))} could both be {ours}: choose with "
                f"--column {ours}={found[0]}"
            )
        columns[ours] = found[0]
    if "photo" not in columns:
        among = ", ".join(names) or "none"
        problems.append(f"no photo column among: {among}; name it with --column photo=NAME")
    if problems:
        raise ManifestError(f"{path}:\n{listed(problems)}")
    return columns


def _given_columns(
    names: Sequence[str], options: ImportOptions
) -> tuple[dict[str, str], list[str]]:
    """Return the columns that `--column` names, as the file spells them, and what is wrong."""
    spelled = {plain_name(name): name for name in names}
    given, problems = {}, []
    for option, words in (("--column", options.columns), ("--value", options.values)):
        problems += [
            f"{option} {ours}: expected one of {', '.join(_COLUMN_NAMES)}"
            for ours in words
            if ours not in _COLUMN_NAMES
        ]
    for ours, theirs in options.columns.items():
        name = theirs if theirs in names else spelled.get(plain_name(theirs))
        if name is None:
            problems.append(f"--column {ours}={theirs}: the file has no column {theirs!r}")
        else:
            given[ours] = name
    return given, problems


def _forget_row_numbers(
    columns: dict[str, str], rows: Sequence[NumberedRow], options: ImportOptions
) -> None:
    """Take a column `id` that differs in every row for what it is: no person."""
    name = columns.get("person", "")
    if "person" in options.columns or plain_name(name) != _ROW_NUMBER or len(rows) < 2:
        return
    if len({row[name].strip() for _, row in rows}) == len(rows):
        del columns["person"]
        options.warnings.append(
            f"the column {name!r} differs in every row, so it names rows and no people; name the "
            f"column of people with --column person=NAME ({name} too, if each photo is a person)"
        )


def _unmatched_words(
    words: Words, columns: Mapping[str, str], rows: Sequence[NumberedRow]
) -> Iterator[str]:
    """Yield each text of `--value` that stands in no row."""
    for ours, given in words.items():
        name = columns.get(ours, "")
        found = {row.get(name, "").strip().casefold() for _, row in rows}
        for text in given:
            if text not in found:
                yield f"--value {ours}:{text}={given[text]}: no row says {text!r}"


def _row(
    row: Mapping[str, str],
    columns: Mapping[str, str],
    box_columns: Sequence[str],
    words: Words,
) -> tuple[Row, list[str]]:
    result: Row = {}
    problems = []
    for ours in _COLUMN_NAMES:  # what a range says of the group comes before the group itself
        theirs = columns.get(ours, "")
        text = (row.get(theirs) or "").strip()
        mapped = words.get(ours, {}).get(text.casefold())
        if not text or mapped == "":
            continue
        try:
            labels = _labels(ours, text, mapped)
        except ValueError as error:
            problems.append(f"{theirs}: {error}")
            continue
        first, second = result.get(AGE_RANGE), labels.get(AGE_RANGE)
        if first and second and first != second:
            problems.append(f"{theirs}: there are two ranges of ages, {first} and {second}")
        result |= labels
    problems += _age_problems(result)
    try:
        if "box" not in result and (box := box_of_columns(row, box_columns)):
            result["box"] = box
        if "box" in result:
            result["box"] = pixel_box(str(result["box"]))
    except ValueError as error:
        problems.append(f"box: {error}")
    return result, problems


def _age_problems(labels: Row) -> Iterator[str]:
    """Yield how age or age group contradict the range of ages beside them."""
    age, group = labels.get("age"), labels.get("age_group")
    if isinstance(age, int) and group is not None and group != age_group_of(age):
        yield f"age {age} is {age_group_of(age)}, but the age group is {group}"
    if AGE_RANGE not in labels:
        return
    ages = parse_age_range(str(labels[AGE_RANGE]))
    if isinstance(age, int) and not ages[0] <= age <= ages[1]:
        yield f"age {age} is not in the range {labels[AGE_RANGE]}"
    if group is not None and group not in groups_of_range(ages):
        yield f"no age of {labels[AGE_RANGE]} is {group}"


def _labels(column: str, text: str, mapped: str | None) -> Row:
    """Return what a cell says; an age may be a range of ages, an age group likewise.

    `mapped` is the word that `--value` gives for the text.

    Raises:
        ValueError: The cell cannot be understood.
    """
    if mapped is None and column not in ("photo", "box") and text.casefold() in _UNKNOWN:
        if column == "mask" and text.casefold() in _UNCLEAR:
            raise ValueError(
                f"{text!r} may mean no mask, or that nothing is known: say which with "
                f"--value mask:{text}=not_wear or --value mask:{text}="
            )
        return {}
    text = mapped or text
    if column in ("age", AGE_RANGE):
        return age_labels(text)
    if column not in TASKS:
        return {column: text}
    word = _word(column, text)
    if word not in TASKS[column]:
        if column == "age_group" and is_age_range(text):
            return age_labels(text)
        raise ValueError(
            f"{text!r} is none of {', '.join(TASKS[column])}{did_you_mean(text, TASKS[column])}; "
            f"translate it with --value {column}:{text}=WORD, or --value {column}:{text}= if it "
            "says nothing"
        )
    return {column: word}


def _word(task: str, text: str) -> str:
    """Return the class that a text means, or the text."""
    plain = text.casefold()
    spelled = _WORDS[task].get(plain, plain)
    return (mask_word(spelled) or spelled) if task == "mask" else spelled
