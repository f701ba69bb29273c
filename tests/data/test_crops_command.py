"""`maskwise data crop`: the set it makes, what it tells, and what it refuses."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from maskwise.cli import app
from maskwise.data.boxes import parse_box
from maskwise.data.faces import choose_face, open_detector
from maskwise.data.manifest import manifest_from_rows, read_manifest, write_manifest
from maskwise.errors import ManifestError, MaskwiseError
from maskwise.transforms.decode import decode_photo
from people import files, labels, person, saved, scenery, tilted


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A user with an empty cache; the detectors opened are not kept for other tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield
    open_detector.cache_clear()


def invoke(*words: object, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["data", "crop", *map(str, words)])
    if isinstance(result.exception, MaskwiseError):
        assert exit_code == 2, result.exception
    else:
        assert result.exit_code == exit_code, result.output + repr(result.exception)
    return result


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A manifest of ten photos: two of no face, one of two people, one with a box."""
    pair = Image.new("RGB", (380, 256), "gray")
    pair.paste(person(3), (0, 0))
    pair.paste(person(4), (192, 0))
    photos = [person(0), scenery(1), person(1), pair, tilted(person(2), 20), person(5), person(6),
              scenery(2), person(7), person(8)]  # fmt: skip
    rows = [
        {"photo": str(saved(photo, tmp_path / "photos" / f"{number}.jpg")), "mask": "wear",
         **labels(number), "fold": str(number % 2), "box": "40 60 130 180" if number == 5 else None}
        for number, photo in enumerate(photos)
    ]  # fmt: skip
    write_manifest(manifest_from_rows(rows), tmp_path / "m.csv")
    return tmp_path / "m.csv"


def test_set_is_made_with_notes_and_sheet(source: Path, tmp_path: Path) -> None:
    before = files(tmp_path / "photos")
    out = tmp_path / "out"
    result = invoke(source, "--out", out, "--workers", 0, "--json")
    told = json.loads(result.stdout)
    assert (told["photos"], told["written"], told["noted"], told["failed"]) == (10, 10, 3, 0)
    with (out / "notes.csv").open(newline="") as file:
        notes = [(Path(row["photo"]).stem, row["note"]) for row in csv.DictReader(file)]
    centre = "no face: the centre is taken"
    several = "2 faces: the largest central one is taken"
    assert notes == [("1", centre), ("3", several), ("7", centre)]
    for stem, note in notes:
        assert f"{note}: {tmp_path / 'photos' / stem}.jpg" in result.stderr
    assert decode_photo(out / "sheet.jpg").size == (8 * 160, 3 * 174)
    made, given = read_manifest(out / "manifest.csv"), read_manifest(source)
    assert made.drop("photo", "box").equals(given.drop("photo", "box"))
    boxes = made["box"].to_list()
    assert [number for number, box in enumerate(boxes) if box is None] == [1, 7]
    for photo, box in made.filter(pl.col("box").is_not_null()).select("photo", "box").iter_rows():
        crop = decode_photo(photo)
        found = choose_face(open_detector("centerface").find(crop), crop.size)
        assert found
        if "/5." not in photo:
            np.testing.assert_allclose(found.box, parse_box(box), atol=0.08 * crop.width)
    assert files(tmp_path / "photos") == before


def test_processes_and_a_kill_give_the_same_set(source: Path, tmp_path: Path) -> None:
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    options = ["--shape", "3:4", "--align", "--margin", 0.5, "--longest", 96]
    invoke(source, "--out", alone, "--workers", 0, *options)
    script = (
        "import os, signal, sys; from pathlib import Path; from maskwise.data import crops; "
        "save = crops.save_photo; done = []; "
        "crops.save_photo = lambda crop, path: (save(crop, path), done.append(path), "
        "len(done) == 5 and os.kill(os.getpid(), signal.SIGKILL)); "
        "from maskwise.cli import main; main()"
    )
    words = ["data", "crop", source, "--out", killed, "--workers", 0, *options]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        capture_output=True,
        check=False,
        env=os.environ,
    )
    assert done.returncode == -signal.SIGKILL
    assert len((killed / "derived.jsonl").read_text().splitlines()) == 4
    assert not (killed / "manifest.csv").exists()
    told = invoke(source, "--out", killed, "--workers", 2, *options, "--json").stdout
    assert json.loads(told)["noted"] == 3  # those of the killed run among them
    assert files(killed) == files(alone)
    for photo in read_manifest(alone / "manifest.csv")["photo"]:
        assert decode_photo(photo).size == (72, 96)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shape", "round"], "--shape round: expected square or 3:4"),
        (["--align", "--detector", "none"], "--detector none finds no eyes"),
        (["--detector", "haar"], "no face detector 'haar'; there are yunet, centerface"),
    ],
)
def test_what_cannot_be_meant_is_an_error_before_anything_is_written(
    words: list[str], message: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(source, "--out", tmp_path / "out", *words, exit_code=2)
    assert message in str(result.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--margin", "-1"], ["--longest", "8"], ["--margin", "wide"]])
def test_numbers_out_of_range_are_refused(words: list[str], source: Path, tmp_path: Path) -> None:
    invoke(source, "--out", tmp_path / "out", *words, exit_code=2)
    assert not (tmp_path / "out").exists()


def test_sources_are_no_destination(source: Path, tmp_path: Path) -> None:
    before = files(tmp_path)
    for place in (tmp_path, tmp_path / "photos"):
        result = invoke(source, "--out", place, "--detector", "none", exit_code=2)
        assert isinstance(result.exception, ManifestError)
        assert "originals are never touched" in str(result.exception)
    assert files(tmp_path) == before


def test_without_a_detector_boxes_are_cut_and_other_photos_kept_whole(
    source: Path, tmp_path: Path
) -> None:
    invoke(source, "--out", tmp_path / "out", "--detector", "none", "--workers", 0)
    boxes = read_manifest(tmp_path / "out" / "manifest.csv")["box"]
    assert [number for number, box in enumerate(boxes) if box] == [5]


def test_a_photo_that_cannot_be_read_is_told_and_the_others_are_made(
    source: Path, tmp_path: Path
) -> None:
    (tmp_path / "photos" / "4.jpg").write_bytes(b"no photo")
    words = ["--detector", "none", "--workers", 0]
    result = invoke(source, "--out", tmp_path / "out", *words, exit_code=2)
    assert "4.jpg: not an image" in result.stderr
    assert "error: 1 of 10 photos failed" in result.stderr
    assert len(read_manifest(tmp_path / "out" / "manifest.csv")) == 9
