"""The drawn sample set: its layout, its repeatability and what it refuses."""

import csv
import hashlib
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskwise.data import samples
from maskwise.data.drawn.people import Person, plan_person
from maskwise.data.drawn.photos import PhotoPlan, plan_photo
from maskwise.data.drawn.scene import draw_person
from maskwise.data.options import ImportOptions
from maskwise.data.samples import PHOTOS, SampleSummary, write_samples
from maskwise.data.sources import import_source
from maskwise.errors import ManifestError, SettingsError, StorageError
from maskwise.labels import Gender, MaskState

STEMS = {"mask1", "mask2", "mask3", "mask4", "mask5", "incorrect_mask", "normal"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("samples") / "new" / "set"
    summary = write_samples(out, people=4, seed=3, eval_people=5)
    assert summary == SampleSummary(people=4, eval_people=5, photos=28, eval_photos=35)
    return out


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def photo_of(person: Person, index: int, photo: int = 6) -> np.ndarray:
    state = list(PHOTOS.values())[photo]
    plan = plan_photo(0, index, "train", photo, state)
    return np.asarray(draw_person(person, plan), dtype=np.float64)


def test_train_has_a_folder_of_seven_photos_for_each_row(drawn: Path) -> None:
    rows = rows_of(drawn / "train" / "train.csv")
    assert list(rows[0]) == ["id", "gender", "race", "age", "path"]
    assert [row["id"] for row in rows] == ["000001", "000002", "000003", "000004"]
    for row in rows:
        assert row["path"] == f"{row['id']}_{row['gender']}_Asian_{row['age']}"
        assert {path.stem for path in (drawn / "train" / "images" / row["path"]).iterdir()} == STEMS
    assert len(list((drawn / "train" / "images").iterdir())) == len(rows)


def test_train_csv_says_what_was_planned(drawn: Path) -> None:
    for index, row in enumerate(rows_of(drawn / "train" / "train.csv")):
        person = plan_person(3, index, "train")
        assert (row["gender"], int(row["age"])) == (person.gender, person.age)


def test_photos_are_portrait_jpegs(drawn: Path) -> None:
    for path in drawn.rglob("*.jpg"):
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (384, 512))


def test_eval_lists_every_photo_with_a_blank_answer(drawn: Path) -> None:
    info = rows_of(drawn / "eval" / "info.csv")
    names = [row["ImageID"] for row in info]
    assert {row["ans"] for row in info} == {"0"}
    assert all(re.fullmatch(r"[0-9a-f]{40}\.jpg", name) for name in names)
    assert sorted(names) == sorted(path.name for path in (drawn / "eval" / "images").iterdir())


def test_gt_holds_the_class_of_every_photo(drawn: Path) -> None:
    truth = {row["ImageID"]: int(row["ans"]) for row in rows_of(drawn / "eval" / "gt.csv")}
    assert list(truth) == [row["ImageID"] for row in rows_of(drawn / "eval" / "info.csv")]
    expected = {}
    for index in range(5):
        person = plan_person(3, index, "eval")
        group = 0 if person.age < 30 else 1 if person.age < 60 else 2
        for photo, state in enumerate(PHOTOS.values()):
            mask = ("wear", "incorrect", "not_wear").index(state)
            name = hashlib.sha1(f"maskwise sample 3 {index} {photo}".encode()).hexdigest()
            expected[f"{name}.jpg"] = mask * 6 + 3 * (person.gender == "female") + group
    assert truth == expected


def test_gt_file_shows_the_photo_of_its_class(drawn: Path) -> None:
    """The bare photo of eval person 2 lies under its own name, not under another's."""
    name = hashlib.sha1(b"maskwise sample 3 2 6").hexdigest()
    plan = plan_photo(3, 2, "eval", 6, MaskState.NOT_WEAR)
    planned = np.asarray(draw_person(plan_person(3, 2, "eval"), plan), dtype=np.float64)
    with Image.open(drawn / "eval" / "images" / f"{name}.jpg") as image:
        written = np.asarray(image, dtype=np.float64)
    assert abs(planned - written).mean() < 8  # no more than JPEG and grain explain


def test_eval_photos_do_not_lie_in_the_order_of_people(drawn: Path) -> None:
    answers = [int(row["ans"]) for row in rows_of(drawn / "eval" / "gt.csv")]
    changes = sum(a != b for a, b in itertools.pairwise(answers))
    assert changes > 15  # seven photos of each in a row would change 14 times


def test_same_seed_same_bytes_and_other_seed_other_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_samples(tmp_path / name, people=2, seed=seed, eval_people=1)
    first, again, other = (digests(tmp_path / name) for name in "abc")
    assert first == again
    assert not set(first.values()) & set(other.values())


def test_person_is_the_same_in_a_smaller_and_a_larger_set(drawn: Path, tmp_path: Path) -> None:
    write_samples(tmp_path / "small", people=2, seed=3, eval_people=1)
    small, large = digests(tmp_path / "small"), digests(drawn)
    photos = {name for name in small if name.endswith(".jpg")}
    assert len(photos) == 21
    assert all(small[name] == large[name] for name in photos)


def test_eval_shows_other_people_than_train() -> None:
    assert plan_person(0, 5, "train") != plan_person(0, 5, "eval")


@pytest.mark.parametrize("split", ["train", "eval"])
@pytest.mark.parametrize("seed", [0, 1])
def test_ages_and_genders(split: str, seed: int) -> None:
    people = [plan_person(seed, index, split) for index in range(180)]
    ages = np.array([person.age for person in people])
    assert ages.min() >= 18
    assert ages.max() <= 75
    assert 0.10 <= (ages >= 60).mean() <= 0.13
    assert 0.35 <= (ages < 30).mean() <= 0.55
    assert sum(person.gender is Gender.FEMALE for person in people) == 90


@pytest.mark.parametrize(("split", "count"), [("train", 12), ("eval", 6)])
def test_smallest_sets_hold_old_men_and_old_women(split: str, count: int) -> None:
    people = [plan_person(0, index, split) for index in range(count)]
    assert {person.gender for person in people if person.age >= 60} == set(Gender)


def test_a_third_but_at_least_six_people_are_for_eval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = Image.new("RGB", (8, 8))
    monkeypatch.setattr(samples, "draw_person", lambda *_: tiny)
    assert write_samples(tmp_path / "a", people=2).eval_people == 6
    assert write_samples(tmp_path / "b", people=30).eval_people == 10


def test_progress_counts_every_photo(tmp_path: Path) -> None:
    seen: list[int] = []
    write_samples(tmp_path / "set", people=1, eval_people=1, progress=seen.append)
    assert seen == [1] * 14


def test_folder_with_something_in_it_is_refused_and_kept(tmp_path: Path) -> None:
    mine = tmp_path / "set" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("precious")
    with pytest.raises(ManifestError, match="not an empty folder"):
        write_samples(mine.parent, people=1)
    assert [path.name for path in mine.parent.iterdir()] == ["mine.txt"]


def test_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("")
    with pytest.raises(ManifestError):
        write_samples(tmp_path / "set", people=1)


def test_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    write_samples(tmp_path / "set", people=1, eval_people=1)
    assert (tmp_path / "set" / "train" / "train.csv").exists()


@pytest.mark.parametrize(
    "asked", [{"people": 0}, {"people": 3, "eval_people": 0}, {"people": 1, "seed": -1}]
)
def test_too_few_people_or_a_negative_seed_are_refused(
    tmp_path: Path, asked: dict[str, int]
) -> None:
    with pytest.raises(SettingsError):
        write_samples(tmp_path / "set", **asked)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("stop", "seen"), [(KeyboardInterrupt, KeyboardInterrupt), (OSError, StorageError)]
)
def test_nothing_is_left_when_drawing_stops_midway(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: type[BaseException],
    seen: type[BaseException],
) -> None:
    drawn: list[Image.Image] = []

    def stopping(_person: Person, _plan: PhotoPlan) -> Image.Image:
        if len(drawn) == 9:
            assert not (tmp_path / "set").exists()
            raise stop
        drawn.append(Image.new("RGB", (8, 8)))
        return drawn[-1]

    monkeypatch.setattr(samples, "draw_person", stopping)
    with pytest.raises(seen):
        write_samples(tmp_path / "set", people=2, eval_people=1)
    assert len(drawn) == 9
    assert not list(tmp_path.iterdir())


def test_people_and_photos_differ_by_more_than_noise() -> None:
    bare = [photo_of(plan_person(0, index, "train"), index) for index in range(4)]
    for first in range(4):
        for second in range(first):
            assert abs(bare[first] - bare[second]).mean() > 20
    same = plan_person(0, 0, "train")
    assert abs(photo_of(same, 0, photo=0) - photo_of(same, 0, photo=1)).mean() > 20


def test_looks_vary_over_people_and_masks_over_photos() -> None:
    people = [plan_person(0, index, "train") for index in range(60)]
    assert len({person.hair.name for person in people}) >= 8
    assert {person.beard for person in people} >= {"", "stubble", "full"}
    wrong = [plan_photo(0, index, "train", 5, MaskState.INCORRECT).mask for index in range(60)]
    places = {"nose out", "tip out", "mouth out", "under chin", "one ear"}
    assert {mask.place for mask in wrong if mask} == places
    assert {mask.kind for mask in wrong if mask} == {"surgical", "kf94", "cloth"}


def test_mask_state_decides_what_is_drawn() -> None:
    right = [plan_photo(0, 0, "train", photo, MaskState.WEAR).mask for photo in range(20)]
    assert {mask.place for mask in right if mask} == {"worn"}
    assert plan_photo(0, 0, "train", 6, MaskState.NOT_WEAR).mask is None


def test_age_shows_in_wrinkles_and_grey_hair() -> None:
    people = [plan_person(0, index, "train") for index in range(300)]
    young, old = ([p for p in people if low <= p.age < high] for low, high in ((18, 30), (60, 99)))
    assert np.mean([p.wrinkles for p in old]) > np.mean([p.wrinkles for p in young]) + 0.5
    assert np.mean([p.grey for p in old]) > np.mean([p.grey for p in young]) + 0.4


def test_eval_names_its_people(drawn: Path) -> None:
    frame = import_source(drawn / "eval", ImportOptions("s"))
    assert frame["person"].n_unique() == 5
    assert frame.group_by("person").len()["len"].to_list() == [7] * 5
    assert all(len(group["gender"].unique()) == 1 for _, group in frame.group_by("person"))
