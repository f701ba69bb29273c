"""Who a person is: evidence from names and columns, and signs that ids are wrong."""

from pathlib import Path

import polars as pl
import pytest

from maskwise.data.manifest import manifest_from_rows
from maskwise.data.options import ImportOptions
from maskwise.data.people import people_warnings
from maskwise.data.sources import import_source
from maskwise.errors import SettingsError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def manifest(*people: str, **labels: list[object]) -> pl.DataFrame:
    rows = [
        {"photo": f"{row}.jpg", "person": person, "source": "s"}
        | {name: values[row] for name, values in labels.items()}
        for row, person in enumerate(people)
    ]
    return manifest_from_rows(rows)


STATES = ("with_mask/person1/1.jpg", "with_mask/person2/1.jpg", "without_mask/person1/1.jpg")


def test_equal_names_in_folders_below_are_different_people(tmp_path: Path) -> None:
    touch(tmp_path, *STATES)
    frame = import_source(tmp_path, ImportOptions("s"))
    assert frame["person"].n_unique() == 3


def test_ids_that_look_the_same_are_told_by_their_code_points() -> None:
    composed, parts = "Ren\u00e9", "Rene\u0301"
    (told,) = people_warnings(manifest(composed, composed, parts, parts))
    assert "how characters are encoded" in told
    assert r"'Ren\xe9' and 'Rene\u0301'" in told
    (told,) = people_warnings(manifest("\uff11", "\uff11", "1", "1"))  # a wide digit
    assert "'\uff11' and '1'" in told


def test_a_pattern_may_name_people_by_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, *STATES)
    frame = import_source(tmp_path, ImportOptions("s", person_pattern=r"/(person\d+)/"))
    assert frame["person"].to_list() == ["s:person1", "s:person2", "s:person1"]


def test_a_pattern_of_files_wins_over_the_path(tmp_path: Path) -> None:
    touch(tmp_path, "wear/ann_1.jpg", "wear/bob_2.jpg")
    frame = import_source(tmp_path, ImportOptions("s", person_pattern=r"^([a-z]+)_"))
    assert frame["person"].to_list() == ["s:ann", "s:bob"]


def test_a_pattern_that_is_never_found_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, *STATES)
    with pytest.raises(
        SettingsError, match=r"found in no photo's name .*such as with_mask/person1"
    ):
        import_source(tmp_path, ImportOptions("s", person_pattern=r"^id(\d+)$"))
    options = ImportOptions("s", person_pattern=r"/person(2)/")
    import_source(tmp_path, options)
    assert "--person-pattern is not found in 2 names" in options.warnings[0]


def test_a_pattern_acts_on_every_layout(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "images" / "000001_male_Asian_30", "mask1.jpg", "normal.jpg")
    frame = import_source(tmp_path / "a", ImportOptions("s", person_pattern=r"^0*(\d+)_male"))
    assert frame["person"].to_list() == ["s:1", "s:1"]
    table = tmp_path / "b.csv"
    table.write_text("path,person\nx_1.jpg,p\nx_2.jpg,p\n")
    frame = import_source(table, ImportOptions("s", person_pattern=r"_(\d)$"))
    assert frame["person"].to_list() == ["s:1", "s:2"]
    both = ImportOptions("s", person_pattern=r"_(\d)$", columns={"person": "person"})
    with pytest.raises(SettingsError, match="both name people"):
        import_source(table, both)


def test_names_with_folders_in_a_table_are_told_apart(tmp_path: Path) -> None:
    table = tmp_path / "b.csv"
    table.write_text("path\nann/1.jpg\nbob/1.jpg\nbob\\\\1.png\n")
    frame = import_source(table, ImportOptions("s"))
    assert frame["person"].to_list() == ["s:ann/1", "s:bob/1", "s:bob/1"]


def test_contradicting_genders_and_ages_are_told() -> None:
    frame = manifest(
        "a", "a", "b", "b", gender=["male", "female", "male", None], age=[9, 30, 20, 30]
    )
    genders, ages = people_warnings(frame)
    assert genders.startswith("1 person id(s) have both genders")
    assert ages.startswith("1 person id(s) have ages more than 10 years apart")
    assert not people_warnings(manifest("a", "a", "b", gender=["male", None, "female"]))


@pytest.mark.parametrize(
    "ids",
    [("Ann", "ann"), ("1", "1.0"), ("1", "001"), ("s:7", "s:07"), ("ann lee", "ann_lee")],
)
def test_ids_that_differ_in_spelling_only_are_told(ids: tuple[str, str]) -> None:
    assert "differ in capitals" in people_warnings(manifest(*ids, ids[0]))[0]
    assert not people_warnings(manifest("10", "100", "10"))


def test_photos_without_people_are_told() -> None:
    assert "each photo counts as a person" in people_warnings(manifest("1", "2"))[0]
    assert not people_warnings(manifest("1"))
