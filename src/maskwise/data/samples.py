"""Sample photos to try everything with: drawn people in the layout of the mask competition.

::

    out/train/train.csv                                  id, gender, race, age, path
    out/train/images/000001_female_Asian_45/mask1.jpg    .. mask5, incorrect_mask, normal
    out/eval/info.csv                                    ImageID, ans (always 0)
    out/eval/gt.csv                                      ImageID, ans (the true class)
    out/eval/images/<40 hex digits>.jpg                  of people who are not in train

The same seed gives the same bytes, as long as NumPy and Pillow stay the same.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from maskwise.data.drawn.people import Person, plan_person
from maskwise.data.drawn.photos import PhotoPlan, plan_photo
from maskwise.data.drawn.scene import draw_person
from maskwise.data.layouts import PEOPLE_FILE
from maskwise.errors import ManifestError, SettingsError
from maskwise.labels import MaskState, age_group_of, code_of, encode_class
from maskwise.storage import replacing_folder, write_csv

PHOTOS: Final = {
    **{f"mask{number}": MaskState.WEAR for number in range(1, 6)},
    "incorrect_mask": MaskState.INCORRECT,
    "normal": MaskState.NOT_WEAR,
}
"""File name of each photo of a person -> how the mask is worn on it."""

_RACE: Final = "Asian"  # the competition's layout wants a word here; the drawings have none
_FEWEST_EVAL: Final = 6


@dataclass(frozen=True)
class SampleSummary:
    """How many people and photos were drawn."""

    people: int
    eval_people: int
    photos: int
    eval_photos: int


def write_samples(
    out: Path,
    people: int = 60,
    seed: int = 0,
    eval_people: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> SampleSummary:
    """Draw `people` people to train on and other people to evaluate on, seven photos each.

    Without `eval_people` a third of `people`, but at least 6, are drawn for evaluation.
    `progress` is told how many more photos were drawn. Nothing appears at `out` before
    everything is written.

    Raises:
        SettingsError: `people` or `eval_people` is below 1, or `seed` below 0.
        ManifestError: `out` exists and is no empty folder.
        StorageError: a file cannot be written.
    """
    others = default_eval_people(people) if eval_people is None else eval_people
    _check(out, people, others, seed)
    tick = progress or (lambda _: None)
    with replacing_folder(out.resolve()) as folder:
        _write_train(folder / "train", people, seed, tick)
        _write_eval(folder / "eval", others, seed, tick)
    return SampleSummary(people, others, people * len(PHOTOS), others * len(PHOTOS))


def default_eval_people(people: int) -> int:
    """Return how many people are drawn for evaluation beside `people` to train on."""
    return max(_FEWEST_EVAL, people // 3)


def _check(out: Path, people: int, eval_people: int, seed: int) -> None:
    if people < 1 or eval_people < 1:
        raise SettingsError(
            f"At least 1 person has to be drawn for train and for eval, "
            f"but {people} and {eval_people} were asked for."
        )
    if seed < 0:
        raise SettingsError(f"The seed has to be 0 or more, but it is {seed}.")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ManifestError(
            f"{out} exists and is not an empty folder. Name a new folder, or remove it first."
        )


def _write_train(folder: Path, people: int, seed: int, tick: Callable[[int], None]) -> None:
    rows = []
    for index in range(people):
        person = plan_person(seed, index, "train")
        number = f"{index + 1:06d}"
        name = f"{number}_{person.gender}_{_RACE}_{person.age}"
        photos = folder / "images" / name
        photos.mkdir(parents=True)
        for photo, (stem, state) in enumerate(PHOTOS.items()):
            plan = plan_photo(seed, index, "train", photo, state)
            _write_photo(photos / f"{stem}.jpg", person, plan)
            tick(1)
        rows.append((number, str(person.gender), _RACE, person.age, name))
    write_csv(folder / "train.csv", ("id", "gender", "race", "age", "path"), rows)


def _write_eval(folder: Path, people: int, seed: int, tick: Callable[[int], None]) -> None:
    images = folder / "images"
    images.mkdir(parents=True)
    answers, shown = {}, {}
    for index in range(people):
        person = plan_person(seed, index, "eval")
        for photo, state in enumerate(PHOTOS.values()):
            name = _hashed_name(seed, index, photo)
            plan = plan_photo(seed, index, "eval", photo, state)
            _write_photo(images / name, person, plan)
            answers[name] = _class_of(person, state)
            shown[name] = f"e{index + 1:06d}"
            tick(1)
    # Hashes know nothing of what is on the photo, so their order is a shuffled one.
    header = ("ImageID", "ans")
    write_csv(folder / "info.csv", header, [(name, 0) for name in sorted(answers)])
    write_csv(folder / "gt.csv", header, sorted(answers.items()))
    write_csv(folder / PEOPLE_FILE, ("ImageID", "person"), sorted(shown.items()))


def _write_photo(path: Path, person: Person, plan: PhotoPlan) -> None:
    draw_person(person, plan).save(path, "JPEG", quality=plan.quality)


def _hashed_name(seed: int, index: int, photo: int) -> str:
    text = f"maskwise sample {seed} {index} {photo}"
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() + ".jpg"


def _class_of(person: Person, state: MaskState) -> int:
    words = {"mask": state, "gender": person.gender, "age_group": age_group_of(person.age)}
    codes = {task: np.array([code_of(task, word)]) for task, word in words.items()}
    return int(encode_class(**codes)[0])
