"""CSV files as people have them: of any usual encoding and delimiter, headers loosely spelled."""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final

from maskwise.errors import ManifestError, listed

NumberedRow = tuple[int, dict[str, str]]
"""Line number of a row in its file, and its cells by column."""
_DELIMITERS: Final = (",", ";", "\t", "|")
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""What files of these encodings begin with."""
_ENCODINGS: Final = ("utf-8", "cp949")
"""Tried in this order: Korean Excel saves CP949."""
_INVISIBLE: Final = dict.fromkeys(map(ord, "\ufeff\u200b\u00a0"))


def read_rows(path: Path, names: Sequence[str] = ()) -> list[NumberedRow]:
    """Return the rows of a CSV file by column, each with its line number; blank lines go.

    Args:
        path: A file in UTF-8, in UTF-16 with its mark, or in CP949; delimited by commas,
            semicolons, tabs or bars.
        names: Columns that the caller looks for: a header that differs in capitals, spaces,
            underscores or hyphens only has this name in the rows.

    Raises:
        ManifestError: The file cannot be read, two columns have one name, or rows are longer than
            the header; all problems at once.
    """
    lines = _records(path)
    if not lines:
        return []
    header = _header(path, lines[0][1], names)
    problems = []
    rows = []
    for number, cells in lines[1:]:
        if len(cells) > len(header):
            more = len(cells) - len(header)
            problems.append(f"row {number}: {more} cell(s) more than the header has")
            continue
        named = zip_longest(header, cells, fillvalue="")
        rows.append((number, {name: cell for name, cell in named if name}))
    if problems:
        raise ManifestError(f"{path}: {len(problems)} problem(s):\n{listed(problems)}")
    return rows


def plain_name(name: str) -> str:
    """Return a column's name without what people write differently.

    Example:
        >>> plain_name(" Image_ID "), plain_name("age group")
        ('imageid', 'agegroup')
    """
    return "".join(char for char in name.casefold() if char not in " _-.\t")


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        ManifestError: The file cannot be read, or its encoding is none that is known.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error}") from error
    marked = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), None)
    for encoding in (marked,) if marked else _ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ManifestError(
        f"{path} is neither UTF-8, nor UTF-16 with its byte order mark, nor CP949: save it as UTF-8"
    )


def _records(path: Path) -> list[tuple[int, list[str]]]:
    """Return the lines of cells of a CSV file that are not blank, each with its line number."""
    text = read_text(path)
    file, mark = io.StringIO(text, newline=""), _delimiter(text)
    reader = csv.reader(file, delimiter=mark, skipinitialspace=True, strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise ManifestError(
            f"cannot read {path}: up to line {reader.line_num}: {error}; does a cell begin with a "
            "quotation mark that does not end?"
        ) from error


def _delimiter(text: str) -> str:
    """Return what parts the cells of the header: whichever stands most often in it."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    counts = {mark: sum(1 for _ in _outside_quotes(first, mark)) for mark in _DELIMITERS}
    return max(_DELIMITERS, key=counts.__getitem__)


def _outside_quotes(line: str, mark: str) -> Iterator[int]:
    quoted = False
    for place, char in enumerate(line):
        quoted ^= char == '"'
        if char == mark and not quoted:
            yield place


def _header(path: Path, cells: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names of columns; that of one without a name is empty, and it is left out.

    Raises:
        ManifestError: Two columns have one name.
    """
    known = {plain_name(name): name for name in names}
    stripped = [cell.translate(_INVISIBLE).strip() for cell in cells]
    header = [known.get(plain_name(name), name) for name in stripped]
    counts = Counter(name.casefold() for name in header if name)
    problems = [
        " and ".join(repr(cell) for cell, name in zip(cells, header, strict=True)
                     if name.casefold() == one)
        for one, count in counts.items()
        if count > 1
    ]  # fmt: skip
    if problems:
        raise ManifestError(
            f"{path}: columns of one name, of which one would be lost; rename or remove them:\n"
            f"{listed(problems)}"
        )
    return header
