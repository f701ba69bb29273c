"""Label shortcuts: classes that a recognisable source never has."""

import html
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

from commands import invoke
from conftest import TINY
from maskwise.cli import app
from maskwise.data.manifest import manifest_from_rows, write_manifest
from maskwise.data.shortcuts import (
    Crops,
    find_gaps,
    find_shortcuts,
    image_statistics,
    label_information,
    recognised_sources,
    sample_rows,
)

AGES = {"young": 20, "middle": 45, "old": 70}


def two_sources(second: tuple[str, ...], people: int = 60, gender: bool = False) -> pl.DataFrame:
    """Return a manifest of two sources; the second has these age groups only."""
    rows = []
    for source, groups in (("studio", tuple(AGES)), ("street", second)):
        for number in range(people):
            female = number // len(groups) % 2 == 0
            rows.append({
                "photo": f"/{source}/{number}.png", "person": f"{source}{number}",
                "gender": "female" if female else "male", "age": AGES[groups[number % len(groups)]],
                "source": source,
            })  # fmt: skip
    return manifest_from_rows(rows)


def crops(frame: pl.DataFrame, tint: int) -> Callable[[np.ndarray], Crops]:
    """Return noisy crops; those of the source street are brighter by `tint`."""

    def made(rows: np.ndarray) -> Crops:
        rng = np.random.default_rng(3)
        pixels = rng.integers(60, 180, (len(rows), 24, 24, 3))
        street = (frame[rows]["source"] == "street").to_numpy()
        pixels[street] += tint
        return pixels.clip(0, 255).astype(np.uint8), np.ones(len(rows), bool)

    return made


def test_a_class_that_a_recognisable_source_never_has_is_named() -> None:
    frame = two_sources(("young", "middle"))
    (shortcut,) = find_shortcuts(frame, crops(frame, tint=40))
    gap = shortcut.gap
    assert (gap.source, gap.within, gap.task, gap.class_name) == ("street", "", "age_group", "old")
    assert (gap.photos, gap.expected) == (0, 20.0)
    assert shortcut.recognised > 0.95
    assert 0.1 < shortcut.information < 0.5
    assert "street has no photos of age_group old, where other sources' share would be 20" in str(
        shortcut
    )


def test_there_is_no_shortcut_where_the_sources_have_the_same_classes() -> None:
    frame = two_sources(tuple(AGES))
    asked = []
    assert find_shortcuts(frame, lambda rows: asked.append(rows) or crops(frame, 40)(rows)) == []
    assert asked == []  # nothing is missing, so no photo is read
    assert label_information(frame, "age_group") == pytest.approx(0, abs=1e-9)


def test_there_is_no_shortcut_where_the_source_cannot_be_recognised() -> None:
    frame = two_sources(("young", "middle"), people=120)
    assert find_gaps(frame)
    assert find_shortcuts(frame, crops(frame, tint=0)) == []


def test_a_class_missing_within_another_attribute_is_named() -> None:
    frame = two_sources(tuple(AGES), people=120)
    old_women = (
        (pl.col("source") == "street") & (pl.col("gender") == "female") & (pl.col("age") == 70)
    )
    frame = frame.filter(~old_women)
    found = [
        (gap.source, gap.within, gap.task, gap.class_name)
        for gap in (one.gap for one in find_shortcuts(frame, crops(frame, tint=40)))
    ]
    assert found == [
        ("street", "gender female", "age_group", "old"),
        ("street", "age_group old", "gender", "female"),
    ]


def test_few_photos_and_unknown_labels_say_nothing() -> None:
    assert find_gaps(two_sources(("young", "middle"), people=20)) == []  # 7 would be expected
    frame = two_sources(("young", "middle")).with_columns(mask=pl.lit(None, pl.String))
    unlabelled = frame.with_columns(
        age_group=pl.when(pl.col("source") == "studio").then("age_group")
    )
    assert find_gaps(unlabelled) == []  # only one source has ages


def test_label_information_is_that_of_the_formula() -> None:
    # one source all young, the other all old: the source says everything
    rows = [
        {"photo": f"/{n}", "person": str(n), "source": "a" if n % 2 else "b",
         "age": 20 if n % 2 else 70}
        for n in range(10)
    ]  # fmt: skip
    assert label_information(manifest_from_rows(rows), "age_group") == pytest.approx(1)
    # I = H(label) - H(label | source): 1 - (3/4) * H(1/3) = 0.3113 bits of 1 bit
    rows = [
        {"photo": f"/{n}", "person": str(n), "source": source, "age": age}
        for n, (source, age) in enumerate([("a", 20), ("a", 70), ("a", 70), ("b", 20)] * 3)
    ]
    assert label_information(manifest_from_rows(rows), "age_group") == pytest.approx(0.3113, 1e-3)
    assert label_information(manifest_from_rows(rows), "mask") == 0


def test_sources_that_differ_in_sharpness_alone_are_recognised() -> None:
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    soft = np.stack([
        np.asarray(Image.fromarray(pixels).resize((8, 8)).resize((32, 32))) for pixels in sharp
    ])  # fmt: skip
    both = np.concatenate([sharp[:30], soft[30:]])
    people = [str(number) for number in range(60)]
    found = recognised_sources(image_statistics(both), ["a"] * 30 + ["b"] * 30, people)
    assert min(found.values()) > 0.95
    alike = recognised_sources(image_statistics(sharp), ["a"] * 30 + ["b"] * 30, people)
    assert max(alike.values()) < 0.75
    assert recognised_sources(image_statistics(sharp), ["a"] * 60, people) == {}


def test_copies_belong_to_their_source() -> None:
    frame = two_sources(tuple(AGES))
    old = frame.filter((pl.col("age") == 70) & (pl.col("source") == "studio"))
    copies = old.with_columns(photo=pl.col("photo") + "c", source=pl.lit("studio (copy)"))
    assert find_shortcuts(pl.concat([frame, copies]), crops(frame, tint=40)) == []


def test_photos_that_cannot_be_read_say_nothing_of_a_source() -> None:
    frame = two_sources(("young", "middle"), people=120)
    alike = crops(frame, tint=0)

    def partly(rows: np.ndarray) -> Crops:
        pixels, readable = alike(rows)
        readable[(frame[rows]["source"] == "street").to_numpy().nonzero()[0][::2]] = False
        pixels[~readable] = 127
        return pixels, readable

    assert find_shortcuts(frame, partly) == []


def test_small_and_large_crops_have_statistics() -> None:
    rng = np.random.default_rng(0)
    for side in (8, 200):
        features = image_statistics(rng.integers(0, 256, (70, side, side, 3), dtype=np.uint8))
        assert len(features) == 70
        assert np.isfinite(features).all()


def test_photos_are_sampled_from_every_source() -> None:
    frame = two_sources(tuple(AGES), people=200)
    rows = sample_rows(frame)
    assert len(rows) == len(set(rows)) == 300
    assert frame[rows].group_by("source").len()["len"].to_list() == [150, 150]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest of photos with a shortcut: the street's are brighter, and nobody is old there."""
    frame = two_sources(("young", "middle"), people=48)
    pixels, _ = crops(frame, tint=60)(np.arange(len(frame)))
    paths = [tmp_path / f"{number:03d}.png" for number in range(len(frame))]
    for path, photo in zip(paths, pixels, strict=True):
        Image.fromarray(photo).save(path)
    folds = ["val" if number % 4 == 3 else "train" for number in range(len(frame))]
    frame = frame.with_columns(photo=pl.Series(map(str, paths)), fold=pl.Series(folds))
    write_manifest(frame, tmp_path / "manifest.csv")
    return tmp_path / "manifest.csv"


def test_stats_and_train_warn(manifest: Path, tmp_path: Path) -> None:
    page = tmp_path / "stats.html"
    told = invoke("data", "stats", manifest, "--html", page)["shortcuts"]
    assert [one["gap"]["class_name"] for one in told] == ["old"]
    assert told[0]["message"] in html.unescape(page.read_text())
    assert "--leave-source-out" in page.read_text()
    assert invoke("data", "stats", manifest, "--no-shortcuts")["shortcuts"] == []
    words = ["train", str(manifest), *TINY, f"cache.folder={tmp_path / 'cache'}", "train.epochs=1",
             "--out", str(tmp_path / "run")]  # fmt: skip
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    printed = " ".join((result.stdout + result.stderr).split())
    assert "1 label shortcut(s): - street has no photos of age_group old" in printed


def test_stats_of_photos_that_are_gone_still_counts(manifest: Path) -> None:
    for path in manifest.parent.glob("*.png"):
        path.unlink()
    result = invoke("data", "stats", manifest)
    assert result["photos"] == 96
    assert result["shortcuts"] == []
