"""The commands of `maskwise data`: what they print and write, and how they refuse."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from maskwise.cli import main
from maskwise.data.manifest import SCHEMA, read_manifest
from maskwise.labels import TASKS


@dataclass(frozen=True)
class Result:
    """What one run of the command line gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


class Command:
    """Runs `maskwise data` in this process; anything but an exit is a traceback and fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *words: object) -> Result:
        self._monkeypatch.setattr(sys, "argv", ["maskwise", "data", *map(str, words)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        code = stopped.value.code or 0
        assert isinstance(code, int)
        return Result(code, *self._capsys.readouterr())

    def refused(self, *words: object) -> str:
        """Return the message of a run that must fail with code 2 and print no result."""
        result = self(*words)
        assert result.code == 2, result
        assert result.out == ""
        assert "Traceback" not in result.err
        return " ".join(result.err.split())


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.delenv("SM_CHANNEL_TRAIN", raising=False)
    return Command(monkeypatch, capsys)


def write_photo(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((48, 64), Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder in the competition's layout: 20 people of three photos."""
    root = tmp_path / "comp"
    for person in range(20):
        name = f"{person:06d}_{('male', 'female')[person % 2]}_Asian_{(25, 45)[person // 2 % 2]}"
        for number, stem in enumerate(("mask1", "incorrect_mask", "normal")):
            write_photo(root / "images" / name / f"{stem}.png", 10 * person + number)
    return root


def files(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, so that a test can see what was written."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def manifest_of(data: Command, folder: Path) -> Path:
    path = folder.parent / "manifest.csv"
    assert data("import", folder, "--out", path).code == 0
    return path


def test_import_writes_a_manifest_and_says_what(data: Command, folder: Path) -> None:
    out = folder.parent / "made" / "set.parquet"
    result = data("import", folder, "--out", out, "--json").json
    assert result == {
        "manifest": str(out),
        "layout": "competition",
        "photos": 60,
        "people": 20,
        "labels": {task: {"known": 60, "unknown": 0} for task in TASKS},
        "boxes": 0,
        "skipped": 0,
        "no_age_label": 0,
        "passed_over": {},
        "unused_columns": [],
        "warnings": [],
    }
    frame = read_manifest(out)
    assert frame["person"].unique().sort()[0] == "000000"
    assert frame["source"].unique().to_list() == ["comp"]
    shown = data("import", folder, "--out", out, "--name", "mine", "--force")
    assert (shown.code, "competition" in shown.out, "60" in shown.out) == (0, True, True)
    assert read_manifest(out)["source"].unique().to_list() == ["mine"]


def test_sagemaker_folder_stands_in(
    data: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert "SM_CHANNEL_TRAIN" in data.refused("import")
    monkeypatch.setenv("SM_CHANNEL_TRAIN", str(folder))
    assert data("import", "--json").json["photos"] == 60
    assert len(read_manifest(folder.parent / "manifest.csv")) == 60


def test_import_of_csv_with_columns_and_values(data: Command, tmp_path: Path) -> None:
    for number in range(2):
        write_photo(tmp_path / "pics" / f"{number}.png", number)
    (tmp_path / "t.csv").write_text("bild,g\n0.png,weiblich\n1.png,m\n")
    words = ["import", tmp_path / "t.csv", "--out", tmp_path / "m.csv", "--column", "photo=bild",
             "--column", "gender=g", "--value", "gender:weiblich=female"]  # fmt: skip
    assert "do not exist (--photos names their folder)" in data.refused(*words)
    assert data(*words, "--photos", tmp_path / "pics", "--json").json["photos"] == 2
    assert read_manifest(tmp_path / "m.csv")["gender"].to_list() == ["female", "male"]


@pytest.mark.parametrize(
    "lines",
    [
        ["photo,gender", "0.png,weiblich"],
        ["photo,age", "0.png,130"],
        ["photo,age", "0.png,20", "0.png,21"],
        ["bild", "0.png"],
        ["photo", "missing.png"],
        [],
    ],
    ids=["word", "age", "same photo twice", "no photo column", "missing photo", "empty"],
)
def test_import_refuses_what_no_manifest_may_hold(
    lines: list[str], data: Command, tmp_path: Path
) -> None:
    write_photo(tmp_path / "0.png", 0)
    (tmp_path / "t.csv").write_text("\n".join(lines))
    before = files(tmp_path)
    data.refused("import", tmp_path / "t.csv", "--out", tmp_path / "m.csv")
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "words",
    [
        ("--layout", "coco"),
        ("--layout", "csv"),
        ("--layout", "answers"),
        ("--column", "photo"),
        ("--value", "gender=x"),
        ("--value", "gendre:x=male"),
        ("--person-pattern", "("),
        ("--out", "m.xlsx"),
    ],
    ids=" ".join,
)
def test_import_refuses_wrong_options(
    words: tuple[str, str], data: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    source = folder / "images" if "--person-pattern" not in words else folder.parent / "wear"
    if source.name == "wear":
        write_photo(source / "wear" / "anna.png", 0)
    before = files(folder.parent)
    data.refused("import", source, *words)
    assert files(folder.parent) == before


def test_import_of_nothing_is_refused(data: Command, tmp_path: Path) -> None:
    assert "no folder or file at" in data.refused("import", tmp_path / "none")
    assert "no known layout" in data.refused("import", tmp_path)


def test_split_check_and_stats(data: Command, folder: Path) -> None:
    manifest = manifest_of(data, folder)
    result = data("split", manifest, "--val", "0.25", "--seed", "3", "--workers", "0", "--json")
    folds = {fold["fold"]: fold["people"] for fold in result.json["folds"]}
    assert sum(folds.values()) == 20
    assert 4 <= folds["val"] <= 8  # four strata of five people, one or two of each
    frame = read_manifest(manifest)
    assert frame.group_by("person").agg(pl.col("fold").n_unique())["fold"].max() == 1
    assert data("check", manifest, "--json").json["twins"]["pairs_across_people"] == 0
    assert "no leak between folds" in data("check", manifest).out
    stats = data("stats", manifest, "--json").json
    assert (stats["photos"], stats["people"]) == (60, 20)
    assert stats["tasks"]["mask"] == {"wear": 20, "incorrect": 20, "not_wear": 20, "unknown": 0}
    assert {fold["fold"]: fold["people"] for fold in stats["folds"]} == folds
    assert "60 photos of 20 people" in data("stats", manifest).out


def test_split_elsewhere_leaves_the_manifest(data: Command, folder: Path) -> None:
    manifest = manifest_of(data, folder)
    before = manifest.read_bytes()
    out = folder.parent / "folds.csv"
    assert data("split", manifest, "--folds", "4", "--out", out).code == 0
    assert manifest.read_bytes() == before
    assert set(read_manifest(out)["fold"]) == {"0", "1", "2", "3"}
    assert "--reassign" in data.refused("split", out)
    assert data("split", out, "--reassign").code == 0
    assert set(read_manifest(out)["fold"]) == {"train", "val"}


def test_near_duplicates_are_listed_and_kept_together(data: Command, folder: Path) -> None:
    people = sorted((folder / "images").iterdir())
    for one, other in ((0, 1), (2, 3), (4, 5), (6, 7)):
        with Image.open(people[one] / "normal.png") as image:
            image.resize((96, 128)).save(people[other] / "normal.png")
    manifest, listed = manifest_of(data, folder), folder.parent / "twins.csv"
    twins = data("split", manifest, "--twins", listed, "--json").json["twins"]
    assert (twins["pairs"], twins["pairs_across_people"], twins["list"]) == (4, 4, str(listed))
    table = pl.read_csv(listed)
    assert len(table) == 4
    frame = read_manifest(manifest)
    folds = dict(frame.select("photo", "fold").iter_rows())
    assert all(folds[a] == folds[b] for a, b in table.select("photo", "twin_photo").iter_rows())


@pytest.mark.parametrize("kind", ["person", "bytes", "near"])
def test_check_fails_loudly_for_every_kind_of_leak(kind: str, data: Command, folder: Path) -> None:
    manifest = manifest_of(data, folder)
    data("split", manifest)
    frame = read_manifest(manifest)
    train, val = (frame.filter(pl.col("fold") == fold)["photo"][0] for fold in ("train", "val"))
    if kind == "person":
        other = pl.when(pl.col("photo") == val).then(pl.lit("train")).otherwise(pl.col("fold"))
        moved = frame.with_columns(fold=other)
        moved.write_csv(manifest)
    else:
        with Image.open(train) as image:
            image.resize((48, 64) if kind == "bytes" else (90, 130)).save(val)
        if kind == "bytes":
            Path(val).write_bytes(Path(train).read_bytes())
    words = {"person": "person '", "bytes": "the same bytes", "near": "nearly equal photos"}
    before = manifest.read_bytes()
    assert words[kind] in data.refused("check", manifest)
    assert "--reassign" in data.refused("split", manifest)
    assert manifest.read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [("--folds", "1"), ("--val", "1"), ("--val", "nan"), ("--seed", "-1"), ("--out", "m.txt")],
    ids=" ".join,
)
def test_split_refuses_and_leaves_the_manifest(
    words: tuple[str, str], data: Command, folder: Path
) -> None:
    manifest_of(data, folder)
    before = files(folder.parent)
    data.refused("split", folder.parent / "manifest.csv", *words)
    assert files(folder.parent) == before


def test_unreadable_photo_is_told(data: Command, folder: Path) -> None:
    """A damaged photo cannot be compared, so a check that keeps silent would promise too much."""
    photo = next((folder / "images").rglob("normal.png"))
    photo.write_bytes(photo.read_bytes()[:200])
    manifest = manifest_of(data, folder)
    result = data("check", manifest)
    assert str(photo) in " ".join(result.err.split()) or str(photo) in result.out


def test_merge(data: Command, folder: Path, tmp_path: Path) -> None:
    first = manifest_of(data, folder)
    write_photo(tmp_path / "utk" / "45_1_2_20170116174525125.jpg.chip.jpg", 999)
    second, out = tmp_path / "utk.csv", tmp_path / "all.csv"
    assert data("import", tmp_path / "utk", "--out", second).code == 0
    result = data("merge", first, second, "--out", out, "--json").json
    assert (result["photos"], result["people"], result["sources"]) == (61, 21, "comp, utk")
    assert read_manifest(out)["photo"].n_unique() == 61
    before = out.read_bytes()
    assert "overlap" in data.refused("merge", first, first, "--out", out, "--force")
    assert "Missing option" in data.refused("merge", first, second)
    assert out.read_bytes() == before


@pytest.mark.parametrize("command", ["split", "check", "stats", "merge"])
@pytest.mark.parametrize(
    "content", [None, b"", b"\x89PNG\r\n\x1a\n\0\0", b"photo,person\na.jpg,1\n"],
    ids=["missing", "empty", "png", "few columns"],
)  # fmt: skip
def test_wrong_manifest_is_refused(
    command: str, content: bytes | None, data: Command, tmp_path: Path
) -> None:
    path = tmp_path / "manifest.csv"
    if content is not None:
        path.write_bytes(content)
    before = files(tmp_path)
    more = ["--out", tmp_path / "out.csv"] if command == "merge" else []
    assert "error:" in data.refused(command, path, *more)
    assert files(tmp_path) == before


def test_manifest_of_no_rows_can_be_counted(data: Command, tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(",".join(SCHEMA) + "\n")
    assert data("stats", path, "--json").json["photos"] == 0
    assert data("stats", path).code == 0


def test_samples_are_drawn_and_import_as_the_competition(data: Command, tmp_path: Path) -> None:
    out = tmp_path / "samples"
    result = data("samples", out, "--people", "2", "--eval-people", "1", "--json").json
    assert result == {
        "folder": str(out), "people": 2, "eval_people": 1, "photos": 14, "eval_photos": 7
    }  # fmt: skip
    found = data("import", out, "--out", tmp_path / "m.csv", "--json").json
    assert (found["layout"], found["photos"], found["people"]) == ("competition", 14, 2)
    before = files(out)
    assert "not an empty folder" in data.refused("samples", out)
    assert files(out) == before
    data.refused("samples", tmp_path / "other", "--people", "0")
    assert not (tmp_path / "other").exists()


def test_program_ends_with_code_2_and_no_traceback(folder: Path) -> None:
    """The same from outside: a process, its exit code and its two streams."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SM_")}
    words = [sys.executable, "-m", "maskwise", "data"]
    wrong = subprocess.run(
        [*words, "import"],
        env=clean,
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: ")
    right = subprocess.run(
        [*words, "import", "--json"], env=clean | {"SM_CHANNEL_TRAIN": str(folder)},
        cwd=folder.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(right.stdout)["photos"] == 60
    assert right.stderr == ""
