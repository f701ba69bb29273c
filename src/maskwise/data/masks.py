"""Draws masks on the bare faces of a manifest, as photos in the competition's layout.

::

    out/
      images/000001_female_Unknown_45/mask1.jpg .. mask5.jpg incorrect_mask.jpg normal.jpg
      train.csv      id, gender, race, age, path of the people whose gender and age are known
      drawn.csv      every photo with kind and place of its mask and the pose of the head
      manifest.csv

Five points of the face are enough; its box adds the chin and the width. Nothing comes from
elsewhere: shapes, cloth and light are computed (`maskwise.data.worn`). The draws for a photo
follow from the seed and the bytes of the photo, so the same command gives the same bytes.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from PIL import Image

from maskwise.data.boxes import box_text, parse_box
from maskwise.data.derived import DerivedSet, Outcome, Row, save_photo
from maskwise.data.faces import Face, open_detector, points_problem, roll, upside_down
from maskwise.data.framing import face_of
from maskwise.data.worn.head import Head, fit_head
from maskwise.data.worn.light import Light, measure_light
from maskwise.data.worn.looks import MaskLook, plan_look
from maskwise.data.worn.render import Drawing, draw_mask
from maskwise.data.worn.room import with_room
from maskwise.errors import PhotoError
from maskwise.labels import MaskState
from maskwise.storage import write_csv
from maskwise.transforms.decode import decode_photo

_SMALLEST: Final = 8.0
"""Pixels between the eyes; of a smaller face a mask would be a few dots."""
_ON_ITS_HEAD: Final = 135
"""Degrees that a face is turned by, either way."""
_TRIES: Final = 12
_LEAST_AREA: Final = 0.35
"""Of the mask that is seen, in squared eye distances; less could not be told from none."""
_LEAST_VISIBLE: Final = 0.35
_NAMES: Final = {
    MaskState.WEAR: "mask{}",
    MaskState.INCORRECT: "incorrect_mask{}",
    MaskState.NOT_WEAR: "normal{}",
}


def bare_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows whose face is bare, or of unknown state."""
    return frame.filter(pl.col("mask").is_null() | (pl.col("mask") == MaskState.NOT_WEAR))


def sample_people(frame: pl.DataFrame, count: int, seed: int) -> pl.DataFrame:
    """Return the rows of `count` people; each has a rank of its own, drawn from the seed."""
    people = frame["person"].unique().to_list()
    ranked = sorted(people, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    return frame.filter(pl.col("person").is_in(ranked[:count]))


def person_folders(frame: pl.DataFrame) -> list[str]:
    """Return for each row the folder of its person, and the number of the person's photo (0..)."""
    numbers: dict[str, int] = {}
    photos: dict[str, int] = {}
    stems = []
    for row in frame.rows(named=True):
        number = numbers.setdefault(row["person"], len(numbers) + 1)
        age = row["age"] if row["age"] is not None else row["age_group"] or "unknown"
        folder = f"{number:06d}_{row['gender'] or 'unknown'}_Unknown_{age}"
        stems.append(f"{folder}/{photos.setdefault(folder, 0)}")
        photos[folder] += 1
    return stems


@dataclass(frozen=True)
class MaskStep:
    """Draws masks on one face; a `Step` of `data.derived`."""

    detector: str
    wear: int = 5
    incorrect: int = 1
    bare: int = 1
    seed: int = 0
    name: str = "mask"

    def options(self) -> dict[str, Any]:
        """Return what decides the drawing."""
        return {
            "detector": self.detector,
            "wear": self.wear,
            "incorrect": self.incorrect,
            "bare": self.bare,
            "seed": self.seed,
        }

    def __call__(self, row: Row, stem: str, out: Path) -> Outcome:
        """Write the photos of a face; one that cannot be used gives a note and no photo.

        Raises:
            PhotoError: the photo cannot be decoded.
            StorageError: the disk is full or the folder cannot be written.
        """
        image = decode_photo(row["photo"])
        detector = open_detector(self.detector)
        faces = detector.find(image)
        box = parse_box(row["box"]) if row["box"] else None
        face = face_of(faces, image.size, box)
        face = face and (upside_down(detector, image, face) or face)
        problem = _unusable(face)
        if face is None or problem:
            return Outcome(note=problem)
        head = fit_head(face)
        rng = np.random.default_rng([self.seed, *_digest(row)])
        folder, _, number = stem.rpartition("/")
        pixels, left, top = with_room(np.asarray(image), head)
        head = replace(head, x=head.x + left, y=head.y + top)
        light = measure_light(pixels, head)
        rows, missing = [], 0
        for state, index, look_rng in self._photos(rng):
            drawing = look = None
            if state is not MaskState.NOT_WEAR:
                found = _draw_visible(pixels, head, light, state, look_rng)
                if found is None:
                    missing += 1
                    continue
                drawing, look = found
            shown = drawing.pixels if drawing else pixels
            place = Path("images") / folder / self._file(state, int(number), index)
            quality = int(look_rng.integers(82, 96))
            save_photo(Image.fromarray(shown), out / place, quality)
            made = _manifest_row(row, state, place, drawing, look, head)
            if box:
                made["box"] = box_text((box[0] + left, box[1] + top, box[2] + left, box[3] + top))
            rows.append(made)
        notes = {
            "the face stands on its head": abs(roll(face)) > _ON_ITS_HEAD,
            f"{missing} mask(s) would lie outside the photo": missing > 0,
            f"{len(faces)} faces, the largest central one taken": len(faces) > 1 and not box,
        }
        return Outcome(rows, note="; ".join(note for note, true in notes.items() if true))

    def _counts(self) -> dict[MaskState, int]:
        return {
            MaskState.WEAR: self.wear,
            MaskState.INCORRECT: self.incorrect,
            MaskState.NOT_WEAR: self.bare,
        }

    def _photos(
        self, rng: np.random.Generator
    ) -> Iterator[tuple[MaskState, int, np.random.Generator]]:
        """Yield state, number (0..) and a generator of its own for each photo to make."""
        for state, count in self._counts().items():
            for index, child in enumerate(rng.spawn(count)):
                yield state, index, child

    def _file(self, state: MaskState, photo: int, index: int) -> str:
        """Return the file's name; those of a person's second photo go on counting."""
        number = photo * self._counts()[state] + index + 1
        plain = number == 1 and state is not MaskState.WEAR
        return _NAMES[state].format("" if plain else number) + ".jpg"


def _unusable(face: Face | None) -> str:
    """Return why no mask can be drawn on a face, or nothing."""
    if face is None:
        return "no face"
    problem = points_problem(face)
    if problem:
        return f"points that make no sense: {problem}"
    (left_x, left_y), (right_x, right_y) = face.points[:2]
    box_side = max(face.box[2] - face.box[0], face.box[3] - face.box[1])
    # the eyes of a profile stand close, so the box counts as well
    apart = max(float(np.hypot(right_x - left_x, right_y - left_y)), 0.3 * box_side)
    return f"face too small: {box_side:.0f} pixels" if apart < _SMALLEST else ""


def _digest(row: Row) -> list[int]:
    """Return numbers that stand for the photo's bytes and the face's box."""
    try:
        content = Path(row["photo"]).read_bytes()
    except OSError as error:
        raise PhotoError(f"{row['photo']}: {(error.strerror or str(error)).lower()}") from error
    digest = hashlib.sha256(content + (row["box"] or "").encode()).digest()
    return [int.from_bytes(digest[start : start + 4], "little") for start in range(0, 16, 4)]


def _draw_visible(
    pixels: np.ndarray, head: Head, light: Light, state: MaskState, rng: np.random.Generator
) -> tuple[Drawing, MaskLook] | None:
    """Draw masks until enough of one lies in the photo; None where none does."""
    for _ in range(_TRIES):
        look = plan_look(rng, state)
        drawing = draw_mask(pixels, head, look, light)
        if drawing.area >= _LEAST_AREA and drawing.visible >= _LEAST_VISIBLE:
            return drawing, look
    return None


def _manifest_row(
    row: Row,
    state: MaskState,
    place: Path,
    drawing: Drawing | None,
    look: MaskLook | None,
    head: Head,
) -> Row:
    """Return a photo's manifest row; what was drawn stands under `drawn`."""
    drawn = {
        "photo": str(place),
        "mask": str(state),
        "kind": look.kind if look else "",
        "place": look.place if look else "",
        "pattern": look.pattern if look else "",
        "visible": round(drawing.visible, 3) if drawing else "",
        **{name: round(value, 3) for name, value in asdict(head).items()},
        "from": row["photo"],
    }
    return {**row, "photo": str(place), "mask": str(state), "drawn": drawn}


def write_tables(made: DerivedSet, out: Path) -> None:
    """Write drawn.csv and train.csv beside the manifest.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    drawn = [row["drawn"] for outcome in made.outcomes for row in outcome.rows]
    header = list(drawn[0]) if drawn else ["photo"]
    write_csv(out / "drawn.csv", header, (list(row.values()) for row in drawn))
    people: dict[str, tuple[object, ...]] = {}
    for outcome in made.outcomes:
        for row in outcome.rows:
            folder = Path(row["photo"]).parent.name
            if row["gender"] and row["age"] is not None:
                number = folder.split("_", 1)[0]
                people[folder] = (number, row["gender"], "Unknown", row["age"], folder)
    write_csv(out / "train.csv", ("id", "gender", "race", "age", "path"), people.values())
