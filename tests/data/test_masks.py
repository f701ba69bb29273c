"""Masks drawn on the bare faces of a manifest: what is written, what is told, what is kept."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from maskwise.cli import app
from maskwise.data import masks, sheets
from maskwise.data.faces import open_detector
from maskwise.data.manifest import manifest_from_rows, read_manifest, write_manifest
from maskwise.errors import ManifestError, MaskwiseError, SettingsError
from maskwise.labels import MaskState
from maskwise.transforms.decode import decode_photo
from people import files, labels, person, saved, scenery, tilted

SEVEN = ["incorrect_mask.jpg", *(f"mask{number}.jpg" for number in range(1, 6)), "normal.jpg"]


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A user with an empty cache; the detectors opened are not kept for other tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("home")))
        yield
    open_detector.cache_clear()


def invoke(*words: object, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["data", *map(str, words)])
    if isinstance(result.exception, MaskwiseError):
        assert exit_code == 2, result.exception
    else:
        assert result.exit_code == exit_code, result.output + repr(result.exception)
    return result


class Source:
    """Nine rows of six people, two with a mask, one of unknown state, one without a face."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.photos = folder / "photos"
        rows: list[dict[str, object]] = []
        for number, (who, mask, photo) in enumerate(self._photos()):
            path = saved(photo, self.photos / f"{number}.jpg")
            row = {"photo": str(path), **labels(who), "mask": mask, "fold": str(who % 2)}
            rows.append(row)
        rows[3]["box"] = "40 70 150 190"
        write_manifest(manifest_from_rows(rows), folder / "m.csv")
        self.frame = read_manifest(folder / "m.csv")
        self.before = files(self.photos)

    def _photos(self) -> list[tuple[int, str | None, Image.Image]]:
        small = [person(number).resize((120, 160)) for number in range(6)]
        wear = person(1, MaskState.WEAR).resize((120, 160))
        return [
            (0, "not_wear", small[0]), (0, "not_wear", tilted(small[0], 8)), (1, "wear", wear),
            (1, "not_wear", person(1)), (2, None, small[2]), (3, "not_wear", small[3]),
            (4, "not_wear", scenery(1)), (5, "not_wear", small[5]), (5, "incorrect", small[5]),
        ]  # fmt: skip

    def made(self, name: str, *words: object) -> tuple[Path, Result]:
        out = self.folder / name
        options = ["--out", out, *words]
        return out, invoke("mask", self.folder / "m.csv", *options)


@pytest.fixture(scope="module")
def source(home: None, tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source(tmp_path_factory.mktemp("masks"))


@pytest.fixture(scope="module")
def seven(source: Source) -> tuple[Path, Result]:
    """The competition's seven photos of each person, as the command makes them."""
    return source.made("seven", "--workers", 0, "--json")


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_bare_face_gives_seven_photos_in_the_layout_of_the_competition(
    source: Source, seven: tuple[Path, Result]
) -> None:
    out, result = seven
    told = json.loads(result.stdout)
    assert (told["photos"], told["written"], told["noted"], told["failed"]) == (7, 42, 1, 0)
    ages = {who: labels(who)["age"] for who in range(6)}
    sexes = {who: labels(who)["gender"] for who in range(6)}
    folders = {f"{place:06d}_{sexes[who]}_Unknown_{ages[who]}": who
               for place, who in ((1, 0), (2, 1), (3, 2), (4, 3), (6, 5))}  # fmt: skip
    assert {path.name for path in (out / "images").iterdir()} == set(folders)
    second = ["incorrect_mask2.jpg", *(f"mask{number}.jpg" for number in range(6, 11)),
              "normal2.jpg"]  # fmt: skip
    for folder, who in folders.items():
        names = sorted(path.name for path in (out / "images" / folder).iterdir())
        assert names == sorted(SEVEN + second if who == 0 else SEVEN)
    assert files(source.photos) == source.before


def test_labels_people_and_folds_are_kept(source: Source, seven: tuple[Path, Result]) -> None:
    made = read_manifest(seven[0] / "manifest.csv")
    given = source.frame.filter(pl.col("mask").ne_missing("wear"))
    for row in given.rows(named=True):
        rows = made.filter(pl.col("person") == row["person"])
        for column in ("gender", "age", "age_group", "source", "fold"):
            assert set(rows[column]) <= {row[column]}
    counts = Counter(made["mask"])
    assert counts == {"wear": 30, "incorrect": 6, "not_wear": 6}
    for name, mask in made.select("photo", "mask").iter_rows():
        stem = Path(name).stem.rstrip("0123456789")
        assert stem == {"wear": "mask", "incorrect": "incorrect_mask"}.get(mask, "normal")
        assert decode_photo(name).size >= (120, 160)


def test_layout_is_imported_with_the_same_labels(
    source: Source, seven: tuple[Path, Result], tmp_path: Path
) -> None:
    invoke("import", seven[0], "--out", tmp_path / "again.csv")
    again, made = read_manifest(tmp_path / "again.csv"), read_manifest(seven[0] / "manifest.csv")
    columns = ["photo", "mask", "gender", "age", "age_group"]
    assert again.select(columns).sort("photo").equals(made.select(columns).sort("photo"))
    people = again.join(made, on="photo").select("person", "person_right").unique()
    assert len(people) == again["person"].n_unique() == made["person"].n_unique() == 5
    table = read_csv(seven[0] / "train.csv")
    assert [row["id"] for row in table] == ["000001", "000002", "000003", "000004", "000006"]
    assert [int(row["age"]) for row in table] == [labels(who)["age"] for who in (0, 1, 2, 3, 5)]


def test_what_was_drawn_is_listed_photo_by_photo(seven: tuple[Path, Result]) -> None:
    drawn = read_csv(seven[0] / "drawn.csv")
    made = read_manifest(seven[0] / "manifest.csv")
    assert [str(seven[0].resolve() / row["photo"]) for row in drawn] == made["photo"].to_list()
    for row, mask in zip(drawn, made["mask"], strict=True):
        assert row["mask"] == mask
        bare = mask == "not_wear"
        assert (row["kind"] == "") == (row["place"] == "") == bare
        assert (row["place"] == "worn") == (mask == "wear")
        assert bare or float(row["visible"]) > 0.3
        assert Path(row["from"]).is_file()
        assert 15 < float(row["scale"]) < 80
    assert len({(row["kind"], row["pattern"]) for row in drawn if row["kind"]}) > 4


def test_a_masked_photo_is_the_bare_one_but_for_the_mask(seven: tuple[Path, Result]) -> None:
    folders = sorted((seven[0] / "images").iterdir())
    bare = np.asarray(decode_photo(folders[1] / "normal.jpg")).astype(int)
    masks_seen = []
    for number in range(1, 6):
        masked = np.asarray(decode_photo(folders[1] / f"mask{number}.jpg")).astype(int)
        assert masked.shape == bare.shape
        apart = np.abs(masked - bare).mean(axis=2)
        assert np.median(apart) < 6  # what JPEG changes
        assert 0.03 < (apart > 25).mean() < 0.5
        masks_seen.append(masked)
    assert np.abs(masks_seen[0] - masks_seen[1]).max() > 25


def test_what_is_left_out_and_taken_is_told(seven: tuple[Path, Result]) -> None:
    told = seven[1].stderr
    assert "2 photos with a mask are left out" in told
    assert "1 photos of unknown mask state are taken as bare" in told
    assert "no face: " in told
    assert [row["note"] for row in read_csv(seven[0] / "notes.csv")] == ["no face"]
    assert decode_photo(seven[0] / "sheet.jpg").width == 7 * 128


# --- the same bytes


def photos_made(out: Path) -> dict[str, list[bytes]]:
    """Return the photos made from each source photo, in order."""
    made: dict[str, list[bytes]] = {}
    for row in read_csv(out / "drawn.csv"):
        made.setdefault(Path(row["from"]).name, []).append((out / row["photo"]).read_bytes())
    return made


def test_processes_and_a_kill_give_the_same_bytes(
    source: Source, seven: tuple[Path, Result], tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    script = (
        "import os, signal; from maskwise.data import masks; save = masks.save_photo; done = []; "
        "masks.save_photo = lambda *of: (save(*of), done.append(of), "
        "len(done) == 17 and os.kill(os.getpid(), signal.SIGKILL)); "
        "from maskwise.cli import main; main()"
    )
    words = ["mask", source.folder / "m.csv", "--out", killed, "--workers"]
    done = subprocess.run(
        [sys.executable, "-c", script, "data", *map(str, words), "0"],
        capture_output=True,
        check=False,
        env=os.environ,
    )
    assert done.returncode == -signal.SIGKILL
    assert len((killed / "derived.jsonl").read_text().splitlines()) == 2
    invoke(*words, 2)
    assert files(killed) == files(seven[0])


def test_a_part_of_the_rows_gives_the_same_photos(
    source: Source, seven: tuple[Path, Result], tmp_path: Path
) -> None:
    part = source.frame.filter(pl.col("person").is_in(["p3", "p5"])).sort("person", descending=True)
    write_manifest(part, tmp_path / "part.csv")
    invoke("mask", tmp_path / "part.csv", "--out", tmp_path / "out", "--workers", 0)
    made, whole = photos_made(tmp_path / "out"), photos_made(seven[0])
    assert list(made) == ["7.jpg", "5.jpg"]
    for name, photos in made.items():
        assert photos == whole[name]


def test_another_seed_gives_other_masks(source: Source, seven: tuple[Path, Result]) -> None:
    out, _ = source.made("other", "--workers", 0, "--seed", 1, "--wear", 2, "--incorrect", 1)
    other, whole = photos_made(out), photos_made(seven[0])
    for name, photos in other.items():
        assert len(photos) == 4
        assert not set(photos[:3]) & set(whole[name])


def test_people_of_unknown_gender_or_age_are_drawn_but_in_no_table(tmp_path: Path) -> None:
    """The competition's folder names say gender and age; the manifest need not."""
    rows: list[dict[str, object]] = [
        {"photo": str(saved(person(2).resize((90, 120)), tmp_path / f"{number}.jpg")),
         "person": f"p{number}", "source": "s", "age_group": "middle", "age": age}
        for number, age in enumerate((None, 30))
    ]  # fmt: skip
    write_manifest(manifest_from_rows(rows), tmp_path / "m.csv")
    out = tmp_path / "out"
    invoke("mask", tmp_path / "m.csv", "--out", out, "--workers", 0, "--wear", 1)
    made = read_manifest(out / "manifest.csv")
    assert made["age"].to_list() == [None] * 3 + [30] * 3
    assert set(made["age_group"]) == {"middle"}
    assert {path.name for path in (out / "images").iterdir()} == {
        "000001_unknown_Unknown_middle", "000002_unknown_Unknown_30"}  # fmt: skip
    assert read_csv(out / "train.csv") == []


def test_photos_of_a_person_are_counted(source: Source) -> None:
    frame = source.frame.filter(pl.col("person").is_in(["p0", "p3"]))
    folders = masks.person_folders(frame)
    first, second = (labels(who) for who in (0, 3))
    names = [f"{number:06d}_{of['gender']}_Unknown_{of['age']}"
             for number, of in ((1, first), (2, second))]  # fmt: skip
    assert folders == [f"{names[0]}/0", f"{names[0]}/1", f"{names[1]}/0"]


# --- the command


def test_what_cannot_be_drawn_is_refused_before_anything_is_written(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, out = source.folder / "m.csv", tmp_path / "out"
    masked = tmp_path / "masked.csv"
    write_manifest(source.frame.filter(pl.col("mask") == "wear"), masked)
    none = ["--wear", 0, "--incorrect", 0, "--bare", 0]
    for words, kind, message in (
        ([manifest, *none], SettingsError, "are all 0: nothing to draw"),
        ([masked], ManifestError, "has no bare face"),
        ([manifest, "--detector", "none"], SettingsError, "only where a face is found"),
        ([manifest, "--detector", "haar"], MaskwiseError, "no face detector 'haar'"),
    ):
        result = invoke("mask", *words, "--out", out, exit_code=2)
        assert isinstance(result.exception, kind)
        assert message in str(result.exception)
    invoke("mask", manifest, "--out", out, "--wear", -1, exit_code=2)
    assert not out.exists()
    for place in (source.photos, source.folder):
        result = invoke("mask", manifest, "--out", place, exit_code=2)
        assert "originals are never touched" in str(result.exception)
    assert files(source.photos) == source.before


def test_a_sample_of_people_is_the_same_in_any_company() -> None:
    rows = [{"photo": f"{n}", "person": f"p{n // 2}", "source": "s"} for n in range(80)]
    frame = manifest_from_rows(rows)
    chosen = masks.sample_people(frame, 12, seed=3)
    assert chosen["person"].n_unique() == 12
    assert len(chosen) == 24
    few = frame.filter(pl.col("person").is_in(chosen["person"].to_list()) | (pl.col("photo") < "3"))
    assert masks.sample_people(few, 12, seed=3).equals(chosen)
    assert not masks.sample_people(frame, 12, seed=4).equals(chosen)
    assert masks.sample_people(frame, 99, seed=3).equals(frame)


def test_the_command_draws_on_a_sample(source: Source, tmp_path: Path) -> None:
    people = set()
    for number in (2, 3):
        out = tmp_path / str(number)
        words = ["--people", number, "--seed", 1, "--workers", 0, "--wear", 1]
        invoke("mask", source.folder / "m.csv", "--out", out, *words)
        people.add(read_manifest(out / "manifest.csv")["person"].n_unique())
    assert people == {2, 3}


def test_the_sheet_of_many_photos_a_face_shows_some_of_each_state(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[list[str]] = []

    def keep(_: Path, tiles: list[tuple[Image.Image, str]], columns: int, __: int) -> None:
        shown.append([caption for _, caption in tiles])
        assert columns == 16

    monkeypatch.setattr(sheets, "write_sheet", keep)
    words = ["--people", 2, "--seed", 1, "--workers", 0, "--wear", 20, "--incorrect", 9]
    invoke("mask", source.folder / "m.csv", "--out", tmp_path / "out", *words)
    (captions,) = shown
    assert len(captions) == 32
    assert captions.count("") == 2  # the bare ones
