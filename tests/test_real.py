"""The real photos, where they are at hand: import, grouping, twins, and the split."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from onnxruntime import InferenceSession
from PIL import Image

from maskwise.config import CacheSettings
from maskwise.data.cache import open_frames
from maskwise.data.derived import derive_set
from maskwise.data.duplicates import find_twins, fingerprint_photos
from maskwise.data.faces import open_detector
from maskwise.data.frames import photo_refs
from maskwise.data.framing import Framer
from maskwise.data.masks import MaskStep, person_folders
from maskwise.data.options import ImportOptions
from maskwise.data.sources import detect_layout, import_source
from maskwise.data.split import check_leaks, split_manifest
from maskwise.labels import TASKS
from maskwise.models.loading import SHIPPED
from maskwise.models.onnx_classifier import OnnxClassifier
from maskwise.models.onnx_file import FRAMES, exact_options
from maskwise.models.views import Views

REAL = Path(__file__).parents[2] / "shared" / "data"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (REAL / "utkface").is_dir(), reason="the real photos are not here"),
]


@pytest.fixture(scope="module")
def sets() -> dict[str, pl.DataFrame]:
    names = ("utkface", "asian_decades", "mask_photos")
    return {name: import_source(REAL / name, ImportOptions(name)) for name in names}


@pytest.mark.parametrize(
    ("name", "layout"),
    [("utkface", "utkface"), ("asian_decades", "decades"), ("mask_photos", "mask-folders")],
)
def test_every_photo_is_imported(sets: dict[str, pl.DataFrame], name: str, layout: str) -> None:
    assert detect_layout(REAL / name) == layout
    assert len(sets[name]) == sum(1 for _ in (REAL / name).rglob("*.jpg"))


def test_labels_are_those_of_the_readme(sets: dict[str, pl.DataFrame]) -> None:
    states = dict(sets["mask_photos"].group_by("mask").len().iter_rows())
    folders = [folder for folder in (REAL / "mask_photos").iterdir() if folder.is_dir()]
    assert states == {folder.name: len(list(folder.iterdir())) for folder in folders}
    assert sets["mask_photos"]["age_group"].null_count() == len(sets["mask_photos"])
    assert set(sets["asian_decades"]["age_group"].unique()) == {"young", "middle"}
    old = (sets["utkface"]["age_group"] == "old").mean()
    assert isinstance(old, float)
    assert 0.1 < old < 0.25


def test_faces_of_one_photo_are_one_person(sets: dict[str, pl.DataFrame]) -> None:
    frame = sets["mask_photos"].with_columns(name=pl.col("photo").str.split("/").list.last())
    street = frame.filter(pl.col("name").str.starts_with("ilc-"))
    photos = street["name"].str.extract(r"^(ilc-[^-]+)-")
    assert street["person"].n_unique() == photos.n_unique()
    press = frame.filter(pl.col("name").str.starts_with("maf-"))
    assert press["person"].n_unique() == len(press)


def test_about_one_face_in_seventeen_has_a_twin(sets: dict[str, pl.DataFrame]) -> None:
    frame = sets["utkface"].sort("photo")[:4000]  # by age: twins have other ages
    prints = fingerprint_photos(frame["photo"].to_list(), workers=0)
    twins = find_twins(prints)
    share = len({row for twin in twins for row in (twin.first, twin.second)}) / len(frame)
    assert 0.02 < share < 0.1
    split = split_manifest(frame, twins)
    check_leaks(split, prints.digests, twins)
    assert 0.18 < (split["fold"] == "val").mean() < 0.22  # type: ignore[operator]


def test_the_bundled_model_predicts_as_exact_arithmetic(sets: dict[str, pl.DataFrame]) -> None:
    chosen = pl.concat([frame.sample(200, seed=4) for frame in sets.values()], how="diagonal")
    bundled = OnnxClassifier.load(SHIPPED, threads=1)
    exact = InferenceSession(SHIPPED, exact_options(), providers=["CPUExecutionProvider"])
    frames = open_frames(photo_refs(chosen), Framer(bundled.info.preprocess), CacheSettings())
    pixels = np.concatenate(list(frames.batches(np.array_split(np.arange(len(chosen)), 10))))
    found = bundled.answer({bundled.info.preprocess.frame_key: pixels}, Views.named("1"))
    for task, values in zip(TASKS, exact.run([*TASKS], {FRAMES: pixels}), strict=True):
        same = found.tasks[task].argmax(axis=1) == values.argmax(axis=1)
        assert same.mean() >= 0.995, task


def test_masks_are_drawn_on_real_faces(sets: dict[str, pl.DataFrame], tmp_path: Path) -> None:
    parts = [sets[name].sample(6, seed=3) for name in ("utkface", "asian_decades")]
    bare = pl.concat(parts, how="diagonal")
    step = MaskStep("yunet", wear=2, incorrect=1, bare=1, seed=0)
    made = derive_set(bare, tmp_path / "out", step, 0, stems=person_folders(bare))
    assert len(made.frame) == 4 * len(bare)
    assert made.errors() == []
    for column in ("person", "gender", "age", "age_group"):
        assert made.frame[column][::4].equals(bare[column])
    found = [open_detector("yunet").find(Image.open(p)) for p in made.frame["photo"]]
    assert sum(map(bool, found)) >= 0.9 * len(found)
    again = derive_set(bare, tmp_path / "again", step, 0, stems=person_folders(bare))
    pairs = zip(made.frame["photo"], again.frame["photo"], strict=True)
    assert all(Path(one).read_bytes() == Path(other).read_bytes() for one, other in pairs)
