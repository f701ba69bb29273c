"""Lists of corrections, applied to a manifest that still says what they expect."""

from pathlib import Path

import polars as pl
import pytest

from commands import invoke, refused
from conftest import read_rows
from maskwise.data.corrections import COLUMNS, Correction, read_corrections, write_corrections
from maskwise.data.manifest import read_manifest


def fixed(manifest: Path, *lines: tuple[str, ...], more: tuple[str, ...] = ()) -> pl.DataFrame:
    """Apply corrections; return the manifest written."""
    out = manifest.with_name("fixed.csv")
    invoke("data", "fix", manifest, listed(manifest, *lines), "--out", out, "--force", *more)
    return read_rows(out)


def said(manifest: Path, *lines: tuple[str, ...]) -> str:
    """Return what is said of corrections that cannot be made; nothing is written."""
    out = manifest.with_name("fixed.csv")
    told = refused("data", "fix", manifest, listed(manifest, *lines), "--out", out)
    assert not out.exists()
    return told


def listed(manifest: Path, *lines: tuple[str, ...]) -> Path:
    """Write corrections beside a manifest."""
    path = manifest.with_name("corrections.csv")
    write_corrections(path, [Correction(*line) for line in lines])
    return path


def test_corrections_change_what_they_name_and_nothing_else(manifest: Path) -> None:
    before = manifest.read_bytes()
    rows = fixed(
        manifest,
        ("photos/000.png", "mask", "wear", "not_wear"),
        ("photos/001.png", "gender", "male", ""),
        ("photos/002.png", "person", "p2", "p3"),
        ("photos/004.png", "photo", "", ""),
    )
    old = read_rows(manifest)
    expected = old.with_columns(
        mask=pl.Series(["not_wear", *old["mask"][1:]]),
        gender=pl.Series([old["gender"][0], None, *old["gender"][2:]]),
        person=pl.Series([*old["person"][:2], "p3", *old["person"][3:]]),
    )
    assert rows.equals(expected.filter(pl.col("photo") != "photos/004.png"), null_equal=True)
    assert manifest.read_bytes() == before


def test_an_age_brings_its_group_and_a_group_needs_the_age_gone(manifest: Path) -> None:
    rows = fixed(
        manifest,
        ("photos/000.png", "age", "22", "61"),
        ("photos/001.png", "age", "22", ""),
        ("photos/001.png", "age_group", "young", "middle"),
        ("photos/002.png", "age", "22", ""),
    )
    assert list(zip(*rows[:3].select("age", "age_group"), strict=True)) == [
        ("61", "old"), (None, "middle"), (None, "young")
    ]  # fmt: skip


def test_a_group_that_contradicts_the_age_is_refused(manifest: Path) -> None:
    told = said(manifest, ("photos/000.png", "age_group", "young", "old"))
    assert "would become wrong" in told
    assert "age 22 is young, but age_group says old" in told


def test_a_photo_may_be_named_by_its_whole_path_and_a_face_by_its_box(manifest: Path) -> None:
    whole = str(manifest.parent / "photos/000.png")
    assert fixed(manifest, (whole, "mask", "wear", "incorrect"))["mask"][0] == "incorrect"
    rows = read_rows(manifest)
    rows.with_columns(box=pl.Series(["1 2 30 40", *[None] * (len(rows) - 1)])).write_csv(manifest)
    boxed = fixed(manifest, ("photos/000.png [1 2 30 40]", "mask", "wear", "incorrect"))
    assert boxed["mask"][0] == "incorrect"
    assert "no such photo" in said_fresh(manifest, ("photos/000.png", "mask", "wear", "incorrect"))


def said_fresh(manifest: Path, *lines: tuple[str, ...]) -> str:
    manifest.with_name("fixed.csv").unlink()
    return said(manifest, *lines)


def test_all_that_does_not_match_is_told_at_once_and_nothing_changes(manifest: Path) -> None:
    told = said(
        manifest,
        ("photos/000.png", "mask", "incorrect", "not_wear"),
        ("photos/nobody.png", "mask", "wear", "not_wear"),
        ("photos/001.png", "gender", "male", "female", "ann"),
        ("photos/001.png", "gender", "male", "", "bob"),
        ("photos/002.png", "gender", "male", "female"),
    )
    assert "3 correction(s) cannot be made; nothing was changed" in told
    assert "mask is 'wear' now; expected 'incorrect'" in told
    assert "photos/nobody.png: no such photo in the manifest" in told
    assert "ann and bob disagree: gender 'female' and ''" in told


def test_a_photo_that_goes_is_not_corrected_too(manifest: Path) -> None:
    told = said(
        manifest,
        ("photos/000.png", "photo", "", "", "ann"),
        ("photos/000.png", "mask", "wear", "not_wear", "bob"),
        ("photos/001.png", "photo", "photos/002.png", ""),
    )
    assert "2 correction(s) cannot be made" in told
    assert "ann and bob disagree: photo '' and mask 'not_wear'" in told
    assert "expected 'photos/002.png'" in told
    whole = str(manifest.parent / "photos/001.png")
    manifest.with_name("fixed.csv").unlink(missing_ok=True)
    rows = fixed(
        manifest, ("photos/000.png", "photo", "photos/000.png", ""), (whole, "photo", "", "")
    )
    assert len(rows) == len(read_rows(manifest)) - 2


def test_partly_leaves_out_what_would_become_wrong(manifest: Path) -> None:
    rows = fixed(
        manifest,
        ("photos/000.png", "mask", "wear", "worn"),
        ("photos/001.png", "age", "22", "61", "ann"),
        ("photos/001.png", "age_group", "young", "middle", "bob"),
        ("photos/002.png", "gender", "male", "female"),
        more=("--partly",),
    )
    before = read_rows(manifest)
    assert rows["mask"][0] == "wear"
    assert (rows["age"][1], rows["age_group"][1]) == (before["age"][1], "young")
    assert rows["gender"][2] == "female"


def test_partly_makes_the_rest_and_a_row_wholly_or_not_at_all(manifest: Path) -> None:
    rows = fixed(
        manifest,
        ("photos/000.png", "mask", "incorrect", "not_wear"),
        ("photos/000.png", "gender", "male", "female"),
        ("photos/001.png", "gender", "male", "female"),
        more=("--partly",),
    )
    assert rows["gender"][0] == "male"
    assert rows["gender"][1] == "female"


def test_the_same_correction_twice_is_one(manifest: Path) -> None:
    line = ("photos/000.png", "mask", "wear", "not_wear")
    assert fixed(manifest, (*line, "ann"), (*line, "bob"))["mask"][0] == "not_wear"


def test_what_is_no_list_of_corrections_is_said_by_row(manifest: Path, tmp_path: Path) -> None:
    told = said(
        manifest,
        ("", "mask", "wear", "not_wear"),
        ("photos/000.png", "box", "", "1 2 3 4"),
        ("photos/000.png", "photo", "", "other.png"),
        ("photos/000.png", "person", "p0", ""),
    )
    for part in ("row 2: id is empty", "row 3: field is 'box'", "row 4: a photo is taken out",
                 "row 5: a person cannot become nobody"):  # fmt: skip
        assert part in told
    path = tmp_path / "other.csv"
    path.write_text("photo,answer\na.png,3\n")
    told = refused("data", "fix", manifest, path, "--out", tmp_path / "out.csv")
    assert "missing id, field, from, to" in told


@pytest.mark.parametrize("value", ["worn", "Wear"])
def test_a_word_that_there_is_not_is_refused(manifest: Path, value: str) -> None:
    assert f"mask is '{value}'" in said(manifest, ("photos/000.png", "mask", "wear", value))


def test_a_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = [Correction("a, b.png", "mask", "wear", "", "ann", "2026-01-02T03:04:05+00:00")]
    write_corrections(tmp_path / "list.csv", made)
    assert read_corrections(tmp_path / "list.csv") == made
    assert (tmp_path / "list.csv").read_text().splitlines()[0] == ",".join(COLUMNS)


def test_photos_that_vanished_can_be_taken_out(manifest: Path) -> None:
    photo = Path(read_manifest(manifest)["photo"][0])
    photo.unlink()
    assert len(fixed(manifest, ("photos/000.png", "photo", "", ""))) == 36
