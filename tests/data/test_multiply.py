"""Copies of rare labels: of training photos only, seeded, with labels and boxes that are right."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

from conftest import read_rows, write_set
from maskwise.cli import app
from maskwise.data.boxes import parse_box
from maskwise.data.manifest import read_manifest, write_manifest
from maskwise.data.multiply import rows_to_copy
from maskwise.errors import ManifestError
from people import files


def invoke(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def refused(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code != 0
    return str(result.exception)


def pixels_of(photo: str) -> np.ndarray:
    with Image.open(photo) as image:
        return np.asarray(image.convert("RGB")).astype(float)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A set of 36 training and 12 validation photos; ages of a group differ by up to 4 years."""
    path = write_set(tmp_path / "data", train=36, val=12)
    frame = read_manifest(path)
    ages = [age + place % 5 for place, age in enumerate(frame["age"])]
    write_manifest(frame.with_columns(age=pl.Series(ages, dtype=frame["age"].dtype)), path)
    return path


def test_copies_are_of_training_photos_of_the_labels(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "copies"
    words = ["data", "multiply", manifest, "--times", "old=3", "--times", "male=2"]
    result = json.loads(invoke(*words, "--out", out, "--workers", "0", "--json"))
    source, copies = read_manifest(manifest), read_manifest(out / "manifest.csv")
    train = source.filter(pl.col("fold") == "train")
    old = train.filter(pl.col("age_group") == "old")
    male = train.filter((pl.col("age_group") != "old") & (pl.col("gender") == "male"))
    assert len(copies) == 2 * len(old) + len(male) == result["written"]
    assert set(copies["fold"]) == {"train"}
    labels = ["person", "mask", "gender", "age"]
    for person, part in copies.group_by("person"):
        [row] = train.filter(pl.col("person") == person[0]).select(labels).rows()
        assert set(part.select(labels).rows()) == {row}
    assert 0.8 * 40 <= pixels_of(copies["photo"][0]).shape[1] <= 40
    # the same seed gives the same bytes, another others; a stopped set goes on
    invoke(*words, "--out", tmp_path / "again", "--workers", "0")
    pictures = {name for name in files(out) if name.startswith("images")}
    assert all(files(out)[name] == files(tmp_path / "again")[name] for name in pictures)
    invoke(*words, "--out", tmp_path / "other", "--workers", "0", "--seed", "1")
    assert any(files(out)[name] != files(tmp_path / "other")[name] for name in pictures)
    # and both train together
    both = tmp_path / "both.csv"
    invoke("data", "merge", manifest, out / "manifest.csv", "--out", both, "--same-people")
    assert len(read_rows(both)) == len(source) + len(copies)
    invoke("data", "check", both, "--workers", "0")


def test_a_box_moves_with_the_picture(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    pixels = np.full((200, 160, 3), 40, np.uint8)
    pixels[60:120, 30:80] = 220
    Image.fromarray(pixels).save(photo)
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(
        "photo,box,person,mask,gender,age,age_group,source,fold\n"
        f"{photo},30 60 80 120,p,wear,male,70,old,made,train\n"
    )
    words = ["data", "multiply", manifest, "--times", "old=30", "--out", tmp_path / "out"]
    invoke(*words, "--workers", "0")
    copies = read_manifest(tmp_path / "out" / "manifest.csv")
    assert len(copies) == 29
    lefts = set()
    for name, box in copies.select("photo", "box").iter_rows():
        shown = pixels_of(name)[..., 0] > 128
        rows, columns = np.nonzero(shown)
        found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert found == pytest.approx(parse_box(box), abs=2)
        lefts.add(round(parse_box(box)[0]) > 60)
    assert lefts == {True, False}  # some are mirrored


def test_a_face_at_the_edge_stays_whole(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    pixels = np.full((100, 100, 3), 40, np.uint8)
    pixels[90:100, 0:12] = 220
    Image.fromarray(pixels).save(photo)
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(
        "photo,box,person,mask,gender,age,age_group,source,fold\n"
        f"{photo},0 90 12 100,p,wear,male,70,old,made,train\n"
    )
    words = ["data", "multiply", manifest, "--times", "old=20", "--workers", "0"]
    invoke(*words, "--out", tmp_path / "out")
    sizes = set()
    for name, box in (
        read_manifest(tmp_path / "out" / "manifest.csv").select("photo", "box").iter_rows()
    ):
        left, top, right, bottom = parse_box(box)
        shape = pixels_of(name).shape
        sizes.add(shape)
        assert left >= 0
        assert top >= 0
        assert right <= shape[1]
        assert bottom <= shape[0]
        assert (right - left, bottom - top) == (12, 10)
    assert len(sizes) > 5
    message = refused(*words, "--out", tmp_path / "mixed", "--how", "mix")
    assert "cut them out first, with maskwise data crop" in message


def test_blends_are_of_two_people_of_like_age(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "blends"
    words = ["data", "multiply", manifest, "--how", "mix", "--times", "old=2", "--age-gap", "4"]
    invoke(*words, "--out", out, "--workers", "0")
    source, blends = read_manifest(manifest), read_manifest(out / "manifest.csv")
    train = source.filter(pl.col("fold") == "train")
    assert 4 <= len(blends) <= len(train.filter(pl.col("age_group") == "old"))
    assert set(blends["age_group"]) == {"old"}
    first = pixels_of(blends["photo"][0])
    row = train.filter(pl.col("person") == blends["person"][0]).row(0, named=True)
    own = pixels_of(row["photo"])
    group = train.filter(
        (pl.col("mask") == row["mask"])
        & (pl.col("gender") == row["gender"])
        & (pl.col("age_group") == "old")
        & (pl.col("person") != row["person"])
    )
    gaps = []
    for other in group.iter_rows(named=True):
        partner = pixels_of(other["photo"])
        shares = np.linspace(0.3, 0.7, 81)
        blended = [share * own + (1 - share) * partner for share in shares]
        errors = [np.abs(picture - first).mean() for picture in blended]
        share = shares[int(np.argmin(errors))]
        age = share * row["age"] + (1 - share) * other["age"]
        gaps.append((min(errors), abs(age - blends["age"][0]), abs(other["age"] - row["age"])))
    error, age_gap, years = min(gaps)
    assert error < 6  # but for what JPEG loses
    assert age_gap <= 0.6
    assert years <= 4


def test_copies_are_not_split_anew(manifest: Path, tmp_path: Path) -> None:
    out, more = tmp_path / "copies", tmp_path / "more.csv"
    invoke("data", "multiply", manifest, "--times", "old=2", "--how", "mix", "--out", out)
    invoke("data", "merge", manifest, out / "manifest.csv", "--same-people", "--out", more)
    assert (read_rows(more)["source"].str.ends_with(" (copy)")).sum() == len(
        read_rows(out / "manifest.csv")
    )
    words = ["data", "split", more, "--out", tmp_path / "split.csv"]
    message = refused(*words, "--folds", "3", "--reassign")
    assert "are copies, made for the split that they are in" in message
    assert "are copies" in refused("train", more, "--folds", 2, "--out", tmp_path / "cv")
    assert not (tmp_path / "cv").exists()
    invoke(*words)  # what is split stays as it is


def test_what_would_be_scored_or_cannot_be_is_refused(manifest: Path, tmp_path: Path) -> None:
    words = ["data", "multiply", manifest, "--out", tmp_path / "out", "--times"]
    message = refused(*words, "elderly=3", "--times", "old=1", "--times", "young=x")
    assert "3 wrong --times" in message
    assert "elderly=3: expected one of wear" in message
    assert "old=1: expected old=N with N from 2 to 100" in message
    assert "expected change or mix" in refused(*words, "old=2", "--how", "blur")
    frame = read_manifest(manifest)
    with pytest.raises(ManifestError, match="copies of others would be scored"):
        rows_to_copy(frame.with_columns(fold=pl.lit("1")), {"old": 2}, "change", 3, 0)
    nobody = frame.filter(pl.col("age_group") != "old")
    with pytest.raises(ManifestError, match="no training photo to copy for old"):
        rows_to_copy(nobody, {"old": 2}, "change", 3, 0)
    alone = frame.filter(pl.col("fold") == "train").head(1)
    with pytest.raises(ManifestError, match="with a partner of 3 years at most"):
        rows_to_copy(alone, {"wear": 2}, "mix", 3, 0)
    assert not (tmp_path / "out").exists()
