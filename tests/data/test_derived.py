"""Sets made from the photos of a manifest."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from filelock import FileLock
from PIL import Image

from maskwise.data.derived import DerivedSet, Outcome, Row, derive_set, save_photo
from maskwise.data.manifest import manifest_from_rows, read_manifest, write_manifest
from maskwise.errors import ManifestError, PhotoError, StorageError, WorkerError
from maskwise.storage import replacing
from maskwise.transforms.decode import decode_photo
from maskwise.version import __version__

NAMES = ("one/a.png", "one/a.jpg", "two/a.png", "two/B.png", "two/b.bmp", "two/a-2.png",
         *(f"more/{number}.png" for number in range(6)))  # fmt: skip


@dataclass(frozen=True)
class Invert:
    """Inverts photos; keeps a list of its calls, from whatever process; may come to grief."""

    name: ClassVar[str] = "invert"
    calls: Path
    white: int = 255
    stop_at: str = ""
    kill_at: str = ""
    fail_at: str = ""

    def options(self) -> dict[str, Any]:
        return {"white": self.white}

    def __call__(self, row: Row, stem: str, out: Path) -> Outcome:
        name = Path(row["photo"]).name
        if name == self.stop_at:
            raise KeyboardInterrupt
        if name == self.kill_at:
            deadline = time.monotonic() + 60
            while not (out / "derived.jsonl").exists() and time.monotonic() < deadline:
                time.sleep(0.01)  # another worker's photos come first
            os.kill(os.getpid(), signal.SIGKILL)
        if name == self.fail_at:
            raise PhotoError(f"{row['photo']}: the network drive was away")
        photo = decode_photo(row["photo"])
        with self.calls.open("a") as file:
            file.write(f"{row['photo']}\n")
        name = f"images/{stem}.png"
        with replacing(out / name) as temporary:
            Image.fromarray(self.white - np.asarray(photo)).save(temporary, "PNG")
        note = "five" if Path(row["photo"]).stem == "5" else ""
        return Outcome([{**row, "photo": name}], note)


class Jpegs:
    """Copies photos as the project's own steps name them."""

    name = "jpegs"

    def options(self) -> dict[str, Any]:
        return {}

    def __call__(self, row: Row, stem: str, out: Path) -> Outcome:
        name = f"images/{stem}.jpg"
        save_photo(decode_photo(row["photo"]), out / name)
        return Outcome([{**row, "photo": name}])


class Source:
    """Twelve photos in three folders; one of them stands in two rows, with a box each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "photos"
        self.out = folder / "out"
        self.calls = folder / "calls"
        rows: list[Row] = []
        for number, name in enumerate(NAMES):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), np.uint8)
            Image.fromarray(pixels).save(path)
            rows.append(
                {"photo": str(path), "person": f"p{number}", "mask": "wear", "gender": "female",
                 "age": 20 + 3 * number, "source": "made", "fold": str(number % 3)}
            )  # fmt: skip
        rows[3]["box"] = "1 2 10 12"
        rows.insert(4, rows[3] | {"box": "12 2 20 12", "mask": "incorrect"})
        self.frame = manifest_from_rows(rows)

    def made(self, workers: int = 0, out: Path | None = None, **options: Any) -> DerivedSet:
        return derive_set(self.frame, out or self.out, Invert(self.calls, **options), workers)

    def called(self) -> Counter[str]:
        """Return how often the step was called for each photo since this was last asked."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return Counter(str(Path(line).relative_to(self.folder)) for line in lines)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_row_is_made_and_keeps_its_labels(source: Source) -> None:
    made = source.made()
    assert read_manifest(source.out / "manifest.csv").equals(made.frame)
    assert made.frame.drop("photo").equals(source.frame.drop("photo"))
    for before, after in zip(source.frame["photo"], made.frame["photo"], strict=True):
        assert Path(after).is_relative_to(source.out / "images")
        expected = 255 - np.asarray(decode_photo(before))
        np.testing.assert_array_equal(np.asarray(decode_photo(after)), expected)
    assert made.notes() == [(str(source.folder / "more/5.png"), "five")]
    assert made.errors() == []
    assert "\nimages/" in (source.out / "manifest.csv").read_text()  # relative: it may be moved


def test_names_are_kept_and_unique(source: Source) -> None:
    made = source.made().frame["photo"]
    stems = [str(Path(photo).relative_to(source.out / "images").with_suffix("")) for photo in made]
    assert stems == ["one/a", "one/a-2", "two/a", "two/B", "two/B-2", "two/b-3", "two/a-2",
                     *(f"more/{number}" for number in range(6))]  # fmt: skip


def test_name_that_another_photo_has_is_not_given_away(source: Source) -> None:
    rows = source.frame.filter(pl.col("photo").str.contains("one/|two/a"))
    clash = source.folder / "one" / "A-2.bmp"
    Image.new("RGB", (20, 20)).save(clash)
    rows = manifest_from_rows([*rows.rows(named=True), {"photo": str(clash), "person": "x"}])
    made = derive_set(rows, source.out, Invert(source.calls), 0).frame["photo"]
    assert [Path(photo).stem for photo in made] == ["a", "a-3", "a", "a-2", "A-2"]
    assert made.n_unique() == 5


def test_processes_make_the_same_set(source: Source, tmp_path: Path) -> None:
    alone, several = source.made(), source.made(workers=2, out=tmp_path / "several")
    assert files(source.out) == files(tmp_path / "several")
    assert several.notes() == alone.notes()
    assert set(source.called().values()) == {2, 4}  # the photo with two boxes is two rows


def test_sources_stay_as_they_are(source: Source) -> None:
    def state() -> dict[str, tuple[bytes, int]]:
        paths = [path for path in source.folder.rglob("*") if path.is_file()]
        return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}

    before = state()
    source.made()
    assert state() == before
    assert len(before) == len(NAMES)


def test_progress_counts_every_row_once(source: Source) -> None:
    for stop in ("3.png", ""):
        ticks: list[int] = []
        step = Invert(source.calls, stop_at=stop)
        if stop:
            with pytest.raises(KeyboardInterrupt):
                derive_set(source.frame, source.out, step, 0, ticks.append)
            assert sum(ticks) == 10
        else:
            derive_set(source.frame, source.out, step, 0, ticks.append)
            assert ticks[0] == 10
            assert sum(ticks) == 13


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        (lambda journal: journal, 0),
        (lambda journal: journal[:-1], 1),  # the line is whole, but has no end
        (lambda journal: journal[:-40], 1),
        (lambda journal: journal + b'{"key": "', 0),
        (lambda journal: journal + b"\0" * 80, 0),
        (lambda journal: journal + b"{}\n", 0),
        (lambda journal: journal + b"7\n", 0),
    ],
    ids=["whole", "no newline", "cut", "half a line", "zeros", "no key", "a number"],
)
def test_killed_run_goes_on(
    damage: Callable[[bytes], bytes], lost: int, source: Source, tmp_path: Path
) -> None:
    source.made(out=tmp_path / "at once")
    source.called()
    with pytest.raises(KeyboardInterrupt):
        source.made(stop_at="3.png")
    assert len(source.called()) == 9
    assert not (source.out / "manifest.csv").exists()
    journal = source.out / "derived.jsonl"
    journal.write_bytes(damage(journal.read_bytes()))
    (source.out / "images" / ".half.png.1.tmp").write_bytes(b"half")
    source.made()
    expected = [f"more/{number}.png" for number in range(3 - lost, 6)]
    assert source.called() == Counter(expected)
    assert files(source.out) == files(tmp_path / "at once")


def test_a_killed_worker_is_told_and_what_it_did_is_kept(source: Source) -> None:
    with pytest.raises(WorkerError, match=r"one of 2 worker processes was killed.*use fewer"):
        source.made(workers=2, kill_at="3.png")
    done = len((source.out / "derived.jsonl").read_text().splitlines())
    source.called()
    source.made()
    assert len(list(source.called().elements())) == 13 - done


def test_two_runs_in_one_folder_are_refused(source: Source, tmp_path: Path) -> None:
    refused = []

    def second(_: int) -> None:
        with pytest.raises(StorageError, match="being written by another process") as error:
            source.made()
        refused.append(error)

    derive_set(source.frame, source.out, Invert(source.calls), 0, second)
    assert len(refused) == 14
    assert set(source.called().values()) == {1, 2}
    source.made(out=tmp_path / "at once")
    assert files(source.out) == files(tmp_path / "at once")


def test_a_folder_that_another_run_holds_is_not_claimed(source: Source) -> None:
    source.out.mkdir()
    with FileLock(source.out / ".lock"), pytest.raises(StorageError, match="by another process"):
        source.made()
    assert not (source.out / "derived.json").exists()
    (source.out / ".derived.json.7.tmp").write_text("{")  # killed while it claimed the folder
    source.made(white=200)
    assert json.loads((source.out / "derived.json").read_text())["white"] == 200


def renamed(frame: pl.DataFrame, people: str) -> tuple[pl.DataFrame, list[str]]:
    """Return the first rows with these people, and photos named by person."""
    rows = frame.head(len(people)).with_columns(person=pl.Series(list(people)))
    return rows, [f"{person}/{people[:n].count(person)}" for n, person in enumerate(people)]


@pytest.mark.parametrize("second", ["bbx", "acb", "xyz", "cab", "aab"])
def test_photos_follow_people_who_were_renamed(second: str, source: Source, tmp_path: Path) -> None:
    for people in ("abc", second, "abc"):
        frame, stems = renamed(source.frame, people)
        made = derive_set(frame, source.out, Invert(source.calls), 0, stems=stems)
        derive_set(frame, tmp_path / people, Invert(source.calls), 0, stems=stems)
        assert made.frame["photo"].n_unique() == 3
        for name in ("manifest.csv", "images"):
            new, old = tmp_path / people / name, source.out / name
            if new.is_dir():
                assert files(old) == files(new)
                assert {p.name for p in old.iterdir()} == {p.name for p in new.iterdir()}
            else:
                assert old.read_bytes() == new.read_bytes()


def test_folds_that_the_manifest_was_given_are_kept(source: Source) -> None:
    bare = source.frame.with_columns(fold=pl.lit(None, dtype=pl.String))
    made = derive_set(bare, source.out, Invert(source.calls), 0).frame
    assert made["fold"].null_count() == 13
    split = made.with_columns(fold=pl.Series([str(n % 2) for n in range(13)]))
    write_manifest(split, source.out / "manifest.csv")
    again = derive_set(bare, source.out, Invert(source.calls), 0).frame
    assert again.equals(split)
    given = derive_set(source.frame, source.out, Invert(source.calls), 0).frame
    assert given["fold"].to_list() == source.frame["fold"].to_list()  # the source says more


def test_awkward_names_get_photos(source: Source) -> None:
    names = ["사" * 82 + ".png", "사" * 81 + "진.png", "a.jpg/x.png", "a.png"]
    for number, name in enumerate(names):
        path = source.folder / "awkward" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (number, 0, 0)).save(path)
        names[number] = str(path)
    rows = manifest_from_rows({"photo": name, "person": name[-9:]} for name in names)
    made = derive_set(rows, source.out, Jpegs(), 0)
    assert made.errors() == []
    photos = made.frame["photo"].to_list()
    assert len(set(photos)) == 4
    for number, photo in enumerate(photos):
        assert decode_photo(photo).getpixel((5, 5)) == pytest.approx((number, 0, 0), abs=1)


def test_destination_whose_name_a_manifest_cannot_hold_is_refused(source: Source) -> None:
    with pytest.raises(ManifestError, match=r"out\\udcff' is no UTF-8 name"):
        source.made(out=source.out.with_name("out\udcff"))
    assert source.called() == Counter()


def test_what_was_done_before_a_real_kill_is_kept(source: Source) -> None:
    step = Invert(source.calls, kill_at="3.png")
    process = get_context("spawn").Process(
        target=derive_set, args=(source.frame, source.out, step, 0)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    source.called()
    source.made()
    assert source.called() == Counter([f"more/{number}.png" for number in range(3, 6)])


def test_failure_that_passes_is_tried_again(source: Source) -> None:
    assert len(source.made(fail_at="3.png").errors()) == 1
    source.called()
    assert source.made().errors() == []
    assert source.called() == Counter(["more/3.png"])


def test_finished_set_is_not_made_again_but_a_new_photo_is(source: Source) -> None:
    first = source.made()
    source.called()
    again = source.made()
    assert not source.called()
    assert again.frame.equals(first.frame)
    assert again.notes() == first.notes()
    Image.new("RGB", (20, 20), "red").save(source.folder / "more/2.png")
    source.made()
    assert source.called() == Counter(["more/2.png"])
    made = decode_photo(source.out / "images/more/2.png")
    assert made.getpixel((9, 9)) == (0, 255, 255)


def test_labels_that_changed_reach_the_set(source: Source) -> None:
    source.made()
    source.frame = source.frame.with_columns(fold=pl.lit("test"))
    assert set(source.made().frame["fold"]) == {"test"}


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_photos_are_told_and_tried_again(workers: int, source: Source) -> None:
    broken = [source.folder / "one/a.jpg", source.folder / "more/4.png"]
    whole = [path.read_bytes() for path in broken]
    for path in broken:
        path.write_bytes(path.read_bytes()[:60])
    made = source.made(workers)
    assert len(made.frame) == 11
    assert [str(path) in error for path, error in zip(broken, made.errors(), strict=True)] == [
        True,
        True,
    ]
    assert len(read_manifest(source.out / "manifest.csv")) == 11
    source.called()
    for path, content in zip(broken, whole, strict=True):
        path.write_bytes(content)
    made = source.made(workers)
    assert (len(made.frame), made.errors()) == (13, [])
    assert made.frame["person"].to_list() == source.frame["person"].to_list()
    assert source.called() == Counter(["one/a.jpg", "more/4.png"])


def test_set_of_which_nothing_can_be_read(source: Source) -> None:
    for name in NAMES:
        (source.folder / name).write_bytes(b"no photo")
    made = source.made()
    assert (len(made.frame), len(made.errors())) == (0, 13)


def test_full_disk_is_told(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StorageError, match="the disk is full"):
        source.made()


@pytest.mark.parametrize("place", ["photos", "photos/one", ".", "link"])
def test_destination_with_photos_of_the_source_is_refused(
    place: str, source: Source, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(source.folder)
    before = files(tmp_path)
    linked = pl.col("photo").str.replace("/photos/", "/link/")
    for frame in (source.frame, source.frame.with_columns(linked)):
        with pytest.raises(ManifestError, match="holds photos of the source"):
            derive_set(frame, tmp_path / place, Invert(source.calls), 0)
    assert files(tmp_path) == before


def test_destination_that_is_taken_is_refused(source: Source, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("dear")
    before = files(tmp_path)
    for place, words in (("taken", "is not empty"), ("file", "is a file")):
        with pytest.raises(ManifestError, match=words):
            source.made(out=tmp_path / place)
    assert files(tmp_path) == before
    (tmp_path / "new").mkdir()
    assert len(source.made(out=tmp_path / "new").frame) == 13


def test_other_options_or_photos_are_refused(source: Source) -> None:
    source.made()
    before = files(source.out)
    with pytest.raises(ManifestError, match="was begun with white 255; name another"):
        source.made(white=254)
    source.frame = source.frame.head(5)
    with pytest.raises(ManifestError, match="was begun with other photos or boxes; name"):
        source.made()
    assert files(source.out) == before


@pytest.mark.parametrize("content", ["{", "[]", "7", '["step"]'])
def test_damaged_marker_is_refused(content: str, source: Source) -> None:
    source.made()
    (source.out / "derived.json").write_text(content)
    with pytest.raises(ManifestError, match=r"derived.json is damaged; remove"):
        source.made()


def test_marker_says_step_and_options(source: Source) -> None:
    source.made()
    marker = json.loads((source.out / "derived.json").read_text())
    assert len(marker.pop("photos")) == 16
    assert marker == {"step": "invert", "version": __version__, "white": 255}
    kinds = Counter(path.suffix for path in source.out.rglob("*") if path.is_file())
    assert kinds == {".png": 13, ".json": 1, ".jsonl": 1, ".csv": 1, "": 1}  # and the lock
