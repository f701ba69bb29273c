"""Manifests: round trips, every wrong input with its row, merging, and interrupted writes."""

import os
import re
from pathlib import Path

import polars as pl
import pytest

from maskwise.data.boxes import parse_box
from maskwise.data.manifest import (
    SCHEMA,
    manifest_from_rows,
    merge_manifests,
    read_manifest,
    write_manifest,
)
from maskwise.errors import ManifestError, StorageError

HEADER = ",".join(SCHEMA)


def make_photos(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in names]
    for path in paths:
        path.write_bytes(b"not decoded here")
    return paths


def write_csv(folder: Path, *rows: str, header: str = HEADER) -> Path:
    """Write a manifest of rows beside the photos a.jpg to e.jpg."""
    make_photos(folder, *(f"{letter}.jpg" for letter in "abcde"))
    path = folder / "manifest.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ManifestError) as raised:
        read_manifest(path)
    assert str(path) in str(raised.value)
    return str(raised.value)


def frame_of(*people: str, folder: str = "/photos", source: str = "s") -> pl.DataFrame:
    return manifest_from_rows(
        {"photo": f"{folder}/{row}.jpg", "person": person, "source": source}
        for row, person in enumerate(people)
    )


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.parquet"])
def test_round_trip(name: str, tmp_path: Path) -> None:
    below, beside = tmp_path / "set" / "images", tmp_path / "elsewhere"
    (first, second), (third,) = make_photos(below, "1.jpg", "2.jpg"), make_photos(beside, "3.jpg")
    frame = manifest_from_rows(
        [
            {"photo": str(first), "person": "000001", "mask": "wear", "age": 45, "source": "x"},
            {"photo": str(second), "person": "0e1", "gender": "female", "source": "x"},
            {"photo": str(third), "person": '3,"y"', "box": "1 2 3.5 4", "source": "x",
             "age_group": "old", "fold": "train"},
        ]
    )  # fmt: skip
    path = tmp_path / "set" / name
    write_manifest(frame, path)
    again = read_manifest(path)
    assert again.schema == pl.Schema(SCHEMA)
    assert again.equals(frame)
    assert again["person"].to_list() == ["000001", "0e1", '3,"y"']
    assert again["age_group"].to_list() == ["middle", None, "old"]
    assert again["gender"].to_list() == [None, "female", None]
    stored = (pl.read_csv if name.endswith("csv") else pl.read_parquet)(path)
    assert stored["photo"].to_list() == ["images/1.jpg", "images/2.jpg", str(third)]


def test_ids_of_digits_stay_text(tmp_path: Path) -> None:
    frame = read_manifest(write_csv(tmp_path, "a.jpg,000001,,,,,,007,00", "b.jpg,1,,,,,,7,1"))
    assert frame["person"].to_list() == ["000001", "1"]
    assert frame["source"].to_list() == ["007", "7"]
    assert frame["fold"].to_list() == ["00", "1"]


def test_moved_folder_still_reads(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "old", "1.jpg")
    frame = manifest_from_rows([{"photo": str(photos[0]), "person": "1", "source": "x"}])
    write_manifest(frame, tmp_path / "old" / "manifest.csv")
    (tmp_path / "old").rename(tmp_path / "new")
    again = read_manifest(tmp_path / "new" / "manifest.csv")
    assert again["photo"].to_list() == [str(tmp_path / "new" / "1.jpg")]


def test_relative_manifest_path_and_linked_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_csv(tmp_path / "set", "link.jpg,1,,,,,,s,")
    (tmp_path / "set" / "link.jpg").symlink_to(tmp_path / "set" / "a.jpg")
    monkeypatch.chdir(tmp_path)
    frame = read_manifest(Path("set/manifest.csv"))
    assert frame["photo"].to_list() == [str(tmp_path / "set" / "link.jpg")]


def test_csv_from_a_spreadsheet_reads(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "a.jpg, 1 ,wear,male,45.0,,,s,", "b.jpg,2,,,,,  ,s,")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    frame = read_manifest(path)
    assert frame["person"].to_list() == ["1", "2"]
    assert frame["age"].to_list() == [45, None]
    assert frame["box"].null_count() == 2


def test_columns_in_another_order_read(tmp_path: Path) -> None:
    names = list(reversed(SCHEMA))
    values = {"photo": "a.jpg", "person": "1", "age": "30", "source": "s"}
    path = write_csv(tmp_path, ",".join(values.get(n, "") for n in names), header=",".join(names))
    assert read_manifest(path)["age_group"].to_list() == ["middle"]


def test_age_groups_follow_the_boundaries(tmp_path: Path) -> None:
    ages = [0, 29, 30, 59, 60, 120]
    path = write_csv(tmp_path, *(f"x{age}.jpg,{age},,,{age},,,s," for age in ages))
    groups = ["young", "young", "middle", "middle", "old", "old"]
    assert read_manifest(path, check_photos=False)["age_group"].to_list() == groups
    other = read_manifest(path, boundaries=(29, 120), check_photos=False)["age_group"]
    assert other.to_list() == ["young", "middle", "middle", "middle", "middle", "old"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("b.jpg,1,weer,,,,,s,", "row 3: mask is 'weer'; expected wear, incorrect, not_wear"),
        ("b.jpg,1,,Male,,,,s,", "row 3: gender is 'Male'; expected male, female"),
        ("b.jpg,1,,,,elderly,,s,", "row 3: age_group is 'elderly'; expected young, middle, old"),
        ("a.jpg,1,,,,,,s,", "row 3: repeats row 2"),
        ("./a.jpg,1,,,,,,s,", "row 3: repeats row 2"),
        ("none.jpg,1,,,,,,s,", "row 3: no photo at {folder}/none.jpg"),
        ("b.jpg,1,,,forty,,,s,", "row 3: age 'forty'"),
        ("b.jpg,1,,,3.5,,,s,", "row 3: age '3.5'"),
        ("b.jpg,1,,,-1,,,s,", "row 3: age '-1'"),
        ("b.jpg,1,,,130,,,s,", "row 3: age '130' is no whole number from 0 to 120"),
        ("b.jpg,1,,,nan,,,s,", "row 3: age 'nan'"),
        ("b.jpg,1,,,45,young,,s,", "row 3: age 45 is middle, but age_group says young"),
        ("b.jpg,1,,,,,1 2 3,s,", "row 3: box: expected 'left top right bottom', got '1 2 3'"),
        ("b.jpg,1,,,,,a b c d,s,", "row 3: box: "),
        ("b.jpg,1,,,,,5 5 5 9,s,", "row 3: box: expected left < right"),
        ("b.jpg,1,,,,,0 0 inf 9,s,", "row 3: box: "),
        ("b.jpg,1,,,,,nan 0 9 9,s,", "row 3: box: "),
        ("b.jpg,,,,,,,s,", "row 3: person is empty"),
        ("b.jpg,  ,,,,,,s,", "row 3: person is empty"),
        (",1,,,,,,s,", "row 3: photo is empty"),
        ("b.jpg,1,,,,,,,", "row 3: source is empty"),
    ],
)
def test_wrong_row_is_named(row: str, expected: str, tmp_path: Path) -> None:
    message = refusal(write_csv(tmp_path, "a.jpg,1,,,,,,s,", row, "c.jpg,2,,,,,,s,"))
    assert expected.format(folder=tmp_path) in message
    assert message.count("row ") - message.count("repeats row") == 1


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    rows = [
        "a.jpg,1,weer,,,,,s,",
        "b.jpg,1,,,130,,,s,",
        "gone.jpg,1,,,,,,s,",
        "c.jpg,,,,,,,s,",
        "a.jpg,1,,,,,,s,",
        "d.jpg,2,,,,,9 9 1 1,s,",
        "e.jpg,3,,,70,young,,s,",
    ]
    message = refusal(write_csv(tmp_path, *rows))
    found = {int(number) for number in re.findall(r"- row (\d+)", message)}
    assert found == set(range(2, 9))


def test_problems_past_ten_are_counted(tmp_path: Path) -> None:
    message = refusal(write_csv(tmp_path, *(f"x{i}.jpg,1,weer,,,,,s," for i in range(25))))
    assert "50 problem(s)" in message
    assert "and 40 more" in message
    assert len(message.splitlines()) == 12


def test_two_faces_of_one_photo_are_no_repetition(tmp_path: Path) -> None:
    rows = ["a.jpg,1,,,,,0 0 5 5,s,", "a.jpg,1,,,,,5 0 9 5,s,"]
    assert len(read_manifest(write_csv(tmp_path, *rows))) == 2
    assert "row 4: repeats row 2" in refusal(write_csv(tmp_path, *rows, rows[0]))


def test_misspelt_and_missing_columns_suggest_the_nearest(tmp_path: Path) -> None:
    header = HEADER.replace("gender", "gendre").replace("fold", "Folds").replace(",mask", "")
    message = refusal(write_csv(tmp_path, header=header))
    assert "'gendre' is unknown (did you mean 'gender'?)" in message
    assert "'Folds' is unknown (did you mean 'fold'?)" in message
    assert "column 'mask' is missing" in message


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    "content",
    [b"", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, b"PAR1" + bytes(40), b"no,such\n1,2\n"],
    ids=["empty", "png", "parquet cut", "other table"],
)
def test_file_that_is_no_manifest_is_refused(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"manifest{suffix}"
    path.write_bytes(content)
    assert len(refusal(path)) < 1500


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    assert "maskwise data import" in refusal(tmp_path / "manifest.csv")
    assert "no manifest at" in refusal(tmp_path)


def test_rows_of_too_many_cells_are_refused(tmp_path: Path) -> None:
    refusal(write_csv(tmp_path, "a.jpg,1,,,,,,s,,more"))


@pytest.mark.parametrize("text", ["", "1 2 3 4 5", "1,2,3,4", "4 1 2 3", "0 0 0 0", "-inf 0 5 5"])
def test_wrong_boxes(text: str) -> None:
    with pytest.raises(ValueError):
        parse_box(text)


def test_box_may_reach_over_the_border() -> None:
    assert parse_box("-3 0.5  1e2 7") == (-3, 0.5, 100, 7)


def test_merge_keeps_order_and_all_rows() -> None:
    merged = merge_manifests([frame_of("1", "2", folder="/x"), frame_of("3", folder="/y")])
    assert merged["photo"].to_list() == ["/x/0.jpg", "/x/1.jpg", "/y/0.jpg"]
    assert merged["person"].to_list() == ["1", "2", "3"]


def test_merge_refuses_the_same_photo_even_for_the_same_people() -> None:
    frames = [frame_of("1", "1"), frame_of("1")]
    for same_people in (False, True):
        with pytest.raises(ManifestError, match=r"photo '/photos/0.jpg' is in manifest 1 and 2"):
            merge_manifests(frames, same_people)


def test_merge_refuses_the_same_person_unless_told() -> None:
    frames = [frame_of("7"), frame_of("8", folder="/y"), frame_of("7", folder="/z")]
    with pytest.raises(ManifestError, match="person '7' is in manifest 1 and 3") as raised:
        merge_manifests(frames)
    assert "--same-people" in str(raised.value)
    assert merge_manifests(frames, same_people=True)["person"].to_list() == ["7", "8", "7"]


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.parquet"])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_interrupted_write_leaves_the_old_file(
    name: str,
    stop: type[BaseException] | BaseException,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / name
    write_manifest(frame_of("1"), path)
    before = path.read_bytes()

    def half(file: Path, _content: bytes) -> None:
        with file.open("wb") as opened:
            opened.write(b"half of")
        raise stop

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises((KeyboardInterrupt, StorageError)):
        write_manifest(frame_of("1", "2"), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("name", ["manifest.csv", "manifest.parquet"])
def test_full_disk_is_a_storage_error_that_says_so(name: str, tmp_path: Path) -> None:
    (tmp_path / f".{name}.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="the disk is full"):
        write_manifest(frame_of(*(str(number) for number in range(3000))), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_other_suffix_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"\.csv or \.parquet"):
        write_manifest(frame_of("1"), tmp_path / "manifest.xlsx")
    assert not list(tmp_path.iterdir())


def test_names_that_no_file_can_have_are_refused_as_missing(tmp_path: Path) -> None:
    long = "a" * 5000 + ".csv"
    with pytest.raises(ManifestError, match="no manifest at"):
        read_manifest(tmp_path / long)
    row = {"photo": str(tmp_path / long), "person": "p", "source": "s"}
    write_manifest(manifest_from_rows([row]), tmp_path / "manifest.csv")
    with pytest.raises(ManifestError, match="row 2: no photo at"):
        read_manifest(tmp_path / "manifest.csv")


def test_people_that_overlap_in_spite_of_prefixes_get_other_advice() -> None:
    one, two = (
        manifest_from_rows([{"photo": f"{name}.jpg", "person": "1", "source": "s"}])
        for name in "ab"
    )
    with pytest.raises(ManifestError, match="--prefix-people"):
        merge_manifests([one, two])
    with pytest.raises(ManifestError, match="give the sources other names") as refused:
        merge_manifests([one, two], prefix_people=True)
    assert "--prefix-people" not in str(refused.value)
