"""Labels made in other programs: Label Studio's JSON, and FiftyOne's.

Label Studio (https://labelstud.io/guide/task_format): a list of tasks, each a photo with what
people chose, and what is suggested. FiftyOne (https://docs.voxel51.com, LegacyFiftyOneDataset): a
folder with `samples.json` and `metadata.json`, each sample a photo with a field for each label.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

from maskwise.data.boxes import parse_box
from maskwise.errors import ManifestError, PhotoError, listed
from maskwise.labeling.decisions import decide
from maskwise.labeling.queue import photo_detail
from maskwise.labeling.records import FIELDS, Decision, Labels, StaleError, WrongDecisionError
from maskwise.labeling.store import Store
from maskwise.labels import TASKS
from maskwise.storage import replacing_folder, write_json, write_text
from maskwise.transforms.decode import decode_photo

Program = Literal["label-studio", "fiftyone"]
_IMAGE: Final = "image"
_FACE: Final = "face"
_SERVED: Final = "/data/local-files/?d="
"""How Label Studio names a photo on its own machine; the path begins below its document root."""
_SAMPLES: Final = "samples.json"
CONFIG: Final = (
    '<View><Image name="image" value="$image"/>'
    + "".join(
        f'<Header value="{task}"/><Choices name="{task}" toName="image" choice="single-radio">'
        + "".join(f'<Choice value="{word}"/>' for word in words)
        + "</Choices>"
        for task, words in TASKS.items()
    )
    + '<Number name="age" toName="image" min="0" max="120"/>'
    + f'<Rectangle name="{_FACE}" toName="image"/></View>'
)
"""The labelling interface of a Label Studio project that takes these tasks."""


@dataclass(frozen=True)
class MadeElsewhere:
    """What a person said of a photo in another program."""

    name: str
    """The photo, as the other program names it."""
    labels: Labels
    who: str
    decided: bool
    """Whether that program tells decisions from labels that nobody touched."""
    given: Labels | None = None
    """What the labels were when they were given to the program, where it says so."""
    given_decided: bool = False
    """Whether they were somebody's decision then."""


@dataclass(frozen=True)
class Exported:
    """What was written for another program."""

    photos: int
    folder: Path | None
    """The folder that all photos lie in, where the program has to be told."""


def export_labels(store: Store, program: Program, out: Path) -> Exported:
    """Write all photos with their labels as they are now, and the boxes of their faces.

    Label Studio gets a JSON file and, beside it, the XML of its labelling interface; FiftyOne a new
    folder. A photo that somebody decided about carries its labels as an annotation, another one
    as a prediction. Label Studio shows photos of its own machine that lie below a document root:
    paths begin at the parent of the folder that all photos lie in. A photo that cannot be decoded
    goes without its box.

    Raises:
        StorageError: it cannot be written, or the folder is not empty.
    """
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT id, path, box FROM photos WHERE gone = 0 AND state <> 'deleted' ORDER BY id"
        ).fetchall()
    photos = [photo_detail(store, row["id"], "") for row in rows]
    places = [_Place.of(row) for row in rows]
    if program == "label-studio":
        folders = [str(Path(place.path).parent) for place in places]
        folder = Path(os.path.commonpath(folders or ["/"]))
        tasks = [_task(*each, folder.parent) for each in zip(photos, places, strict=True)]
        write_json(out, tasks)
        write_text(out.with_suffix(".xml"), CONFIG)
        return Exported(len(photos), folder)
    with replacing_folder(out) as new:
        write_json(new / "metadata.json", {"name": out.name, "media_type": _IMAGE})
        samples = [_sample(*each) for each in zip(photos, places, strict=True)]
        write_json(new / _SAMPLES, {"samples": samples})
    return Exported(len(photos), None)


@dataclass(frozen=True)
class _Place:
    """Where a face is: the photo, and its box there."""

    path: str
    box: tuple[float, float, float, float] | None
    """Left, top, width and height, as shares of the photo's."""

    @classmethod
    def of(cls, row: sqlite3.Row) -> "_Place":
        size = _photo_size(row["path"]) if row["box"] else None
        if size is None:
            return cls(row["path"], None)
        (width, height), (left, top, right, bottom) = size, parse_box(row["box"])
        shares = (left / width, top / height, (right - left) / width, (bottom - top) / height)
        return cls(row["path"], shares)


@lru_cache(maxsize=1)  # faces of one photo follow each other
def _photo_size(path: str) -> tuple[int, int] | None:
    """Return width and height of a photo as it is shown; None where it cannot be decoded."""
    try:
        return decode_photo(path).size
    except PhotoError:
        return None


def _task(photo: dict[str, Any], place: _Place, root: Path) -> dict[str, Any]:
    made = {"result": [*_results(photo["labels"]), *_rectangles(place)]}
    decided = photo["state"] == "done"
    given = {"labels": photo["labels"], "decided": decided}
    # who decided is not said: Label Studio refuses the names of people whom it does not know
    return {
        "data": {
            _IMAGE: _SERVED + quote(os.path.relpath(place.path, root)),
            "id": photo["name"],
            "person": photo["person"],
            "given": given,
        },
        "annotations": [made] if decided else [],
        "predictions": [] if decided else [made | {"score": photo["score"]}],
    }


def _results(labels: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, value in labels.items():
        if value is None:
            continue
        kind, content = ("number", value) if name == "age" else ("choices", [value])
        yield {"from_name": name, "to_name": _IMAGE, "type": kind, "value": {kind: content}}


def _rectangles(place: _Place) -> Iterator[dict[str, Any]]:
    if place.box:
        names = ("x", "y", "width", "height")
        value = {name: 100 * share for name, share in zip(names, place.box, strict=True)}
        yield {"from_name": _FACE, "to_name": _IMAGE, "type": "rectangle",
               "value": {**value, "rotation": 0}}  # fmt: skip


def _sample(photo: dict[str, Any], place: _Place) -> dict[str, Any]:
    labels = {
        name: value if name == "age" else {"_cls": "Classification", "label": value}
        for name, value in photo["labels"].items()
        if value is not None
    }
    if place.box:
        labels[_FACE] = {"_cls": "Detection", "label": _FACE, "bounding_box": list(place.box)}
    about = {"filepath": place.path, "tags": [photo["state"]], "person": photo["person"]}
    return about | {"photo": photo["name"]} | labels


def read_labels(path: Path, program: Program) -> list[MadeElsewhere]:
    """Read what people said of photos in another program.

    `path` is a file of Label Studio, or a folder of FiftyOne. Annotations that were cancelled, and
    photos without any, say nothing; of several the last counts.

    Raises:
        ManifestError: it cannot be read, or holds labels that there are not; all at once.
    """
    file = path / _SAMPLES if program == "fiftyone" else path
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ManifestError(f"cannot read {file}: {error}") from error
    read = _samples_read if program == "fiftyone" else _tasks_read
    try:
        made = list(read(content))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ManifestError(f"{file} is no export of {program}: {error!r}") from error
    problems = [
        f"{each.name}: {name} is {value!r}"
        for each in made
        for name, value in each.labels.items()
        if value is not None and name in TASKS and value not in TASKS[name]
    ]
    if problems:
        raise ManifestError(f"{file}: {len(problems)} wrong label(s):\n{listed(problems)}")
    return made


def _tasks_read(content: Sequence[Mapping[str, Any]]) -> Iterator[MadeElsewhere]:
    for task in content:
        kept = [each for each in task["annotations"] if not each.get("was_cancelled")]
        if not kept:
            continue
        labels: Labels = {}
        for result in kept[-1]["result"]:
            if result["from_name"] in FIELDS:
                value = result["value"]
                chosen = value.get("choices") or [None]  # a choice that was taken back is empty
                labels[result["from_name"]] = value.get("number", chosen[0])
        who = kept[-1].get("completed_by") or ""
        name = who.get("email", "") if isinstance(who, Mapping) else str(who)
        data = task["data"]
        given = data.get("given") or {}
        photo = data.get("id") or data[_IMAGE]
        before, known = given.get("labels"), bool(given.get("decided"))
        yield MadeElsewhere(photo, labels, name, decided=True, given=before, given_decided=known)


def _samples_read(content: Mapping[str, Any]) -> Iterator[MadeElsewhere]:
    for sample in content["samples"]:
        labels: Labels = {}
        for name in FIELDS:
            value = sample.get(name)
            labels |= {name: value["label"] if isinstance(value, Mapping) else value}
        yield MadeElsewhere(sample.get("photo") or sample["filepath"], labels, "", decided=False)


def take_labels(store: Store, made: Sequence[MadeElsewhere], who: str, folder: Path) -> int:
    """Record labels made elsewhere as decisions about photos as they stand; return how many.

    Relative names begin at `folder`. Whose they are is what the other program says, or `who`.
    Where it does not tell decisions from other labels, those that differ count; decisions that
    went there and came back unchanged do not. All are recorded, or none.

    Raises:
        ManifestError: photos are unknown or there twice, nobody's name is known, labels contradict
            each other, or somebody decided otherwise meanwhile; all at once.
        StorageError: the file is locked, damaged or cannot be written.
    """
    with store.reading() as connection:
        rows = connection.execute("SELECT * FROM photos WHERE gone = 0").fetchall()
    known = {row["name"]: row for row in rows}
    names = {row["id"]: row["name"] for row in rows}
    decisions: dict[int, tuple[str, Decision]] = {}
    problems = []
    for each in made:
        row = known.get(each.name) or known.get(os.path.abspath(folder / each.name))  # noqa: PTH100
        problem = _problem(each, row, who, decisions)
        if problem:
            problems.append(f"{each.name}: {problem}")
        elif row is not None and _says_something(each, row):
            told: Labels = {field: word for field, word in each.labels.items() if word is not None}
            decision = Decision(row["id"], row["version"], "label", told)
            decisions[row["id"]] = (each.who or who, decision)
    with store.writing():
        for name, decision in () if problems else decisions.values():
            problems += _refusal(store, name, decision, names)
        if problems:
            raise ManifestError(f"{len(problems)} label(s) cannot be taken:\n{listed(problems)}")
    return len(decisions)


def _problem(
    made: MadeElsewhere, row: sqlite3.Row | None, who: str, others: Mapping[int, object]
) -> str:
    """Return why labels made elsewhere cannot be taken; empty if they can."""
    if row is None:
        return "no such photo in the manifest"
    if not _says_something(made, row):
        return ""
    if not (made.who or who):
        return "the export does not say whose decision it is: --who"
    if row["id"] in others:
        return "there are two opinions; leave one"
    if made.given is not None and not _same(made.given, row):
        return "it was labelled otherwise here since it was exported"
    return ""


def _says_something(made: MadeElsewhere, row: sqlite3.Row) -> bool:
    """Return whether somebody decided there, and not here before."""
    if made.given_decided and made.given is not None and _same(made.labels, made.given):
        return False
    differs = any(word is not None and row[name] != word for name, word in made.labels.items())
    return made.decided or differs


def _same(labels: Labels, others: Any) -> bool:
    """Return whether labels are those of others, where they say something."""
    return all(others[name] == word for name, word in labels.items())


def _refusal(store: Store, who: str, decision: Decision, names: dict[int, str]) -> list[str]:
    """Record a decision; return why it cannot be."""
    try:
        decide(store, who, [decision])
    except (WrongDecisionError, StaleError) as error:
        return [f"{names[decision.photo]}: {error}"]
    return []
