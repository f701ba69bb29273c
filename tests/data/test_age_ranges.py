"""Ages that are given as ranges, and what a spreadsheet makes of them."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from maskwise.config import LabelSettings
from maskwise.data.age_ranges import group_of_range, parse_age_range
from maskwise.data.corrections import Correction, apply_corrections
from maskwise.data.manifest import (
    fill_age_groups,
    manifest_from_rows,
    merge_manifests,
    read_manifest,
    write_manifest,
)
from maskwise.data.options import ImportOptions
from maskwise.data.sources import detect_layout, import_source
from maskwise.data.targets import training_age_ranges, training_codes
from maskwise.errors import ManifestError
from maskwise.labels import UNKNOWN
from maskwise.settings import load_settings
from maskwise.training.prepare import RunRows, check_labels


@pytest.mark.parametrize(
    ("text", "ages"),
    [
        ("0-2", (0, 2)),
        (" 20 - 29 ", (20, 29)),
        ("20\u201329", (20, 29)),
        ("20~29", (20, 29)),
        ("20 to 29", (20, 29)),
        ("(20, 29)", (20, 29)),
        ("more than 70", (71, 120)),
        (">59", (60, 120)),
        (">=60", (60, 120)),
        ("70+", (70, 120)),
        ("60 and over", (60, 120)),
        ("under 30", (0, 29)),
        ("<= 30", (0, 30)),
        ("30s", (30, 39)),
        ("60\ub300", (60, 69)),
        ("1-2 years", (1, 2)),
        ("30-39 years old", (30, 39)),
        ("60 or older", (60, 120)),
        ("60 plus", (60, 120)),
        ("29 and under", (0, 29)),
        ("20\u221229", (20, 29)),
        ("20~29\uc138", (20, 29)),
        ("[20-30)", (20, 29)),
        ("[30, 60)", (30, 59)),
        ("[30, 59]", (30, 59)),
        ("September-3", (3, 9)),
        ("Sept-3", (3, 9)),
        ("03-Sep", (3, 9)),
        ("3-Sep", (3, 9)),
        ("Sep-03", (3, 9)),
        ("09-Mar", (3, 9)),
        ("Oct-19", (10, 19)),
        ("19-Oct", (10, 19)),
        ("10\uc6d4 19\uc77c", (10, 19)),
        ("03\uc6d4 09\uc77c", (3, 9)),
    ],
)
def test_ranges_are_read(text: str, ages: tuple[int, int]) -> None:
    assert parse_age_range(text) == ages


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("29-20", "falls; write 20-29"),
        ("unknown", "neither a whole number"),
        ("20-", "neither a whole number"),
        ("May", "neither a whole number"),
        ("Foo-19", "neither a whole number"),
        ("junior 12", "neither a whole number"),
        ("decade 20", "neither a whole number"),
        ("under 0", "holds no age"),
        ("2019-10-01", "neither a whole number"),
        ("110-130", "beyond 120"),
        ("", "neither a whole number"),
        ("12", "neither a whole number"),
    ],
)
def test_what_is_no_range_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_age_range(text)


def test_a_range_gives_the_group_that_holds_all_of_it() -> None:
    assert group_of_range((20, 29)) == "young"
    assert group_of_range((30, 59)) == "middle"
    assert group_of_range((60, 120)) == "old"
    assert group_of_range((25, 34)) is None
    assert group_of_range((55, 64)) is None
    assert group_of_range((25, 34), boundaries=(20, 60)) == "middle"


def test_fairface_csv_with_dates_of_a_spreadsheet(tmp_path: Path) -> None:
    lines = ["train/1.jpg,50-59,Male,East Asian,True", "train/2.jpg,03-Sep,Female,Indian,False",
             "train/3.jpg,Oct-19,Female,Black,False", "train/4.jpg,more than 70,Male,White,True",
             "val/1.jpg,30-39,Male,White,True"]  # fmt: skip
    table = tmp_path / "fairface_label_train.csv"
    table.write_text("\n".join(["file,age,gender,race,service_test", *lines]) + "\n")
    frame = import_source(table, ImportOptions("fairface"))
    assert frame["age_group"].to_list() == ["middle", "young", "young", "old", "middle"]
    assert frame["age"].null_count() == 5
    assert frame["gender"].to_list() == ["male", "female", "female", "male", "male"]


def test_a_range_across_a_boundary_gives_no_age_label(tmp_path: Path) -> None:
    table = tmp_path / "ages.csv"
    table.write_text("path,age_group\na.jpg,25-34\nb.jpg,30-39\nc.jpg,old\nd.jpg,under 30\n")
    options = ImportOptions("s")
    frame = import_source(table, options)
    assert frame["age_group"].to_list() == [None, "middle", "old", "young"]
    assert options.ages_across == ["a.jpg"]


def test_an_age_beside_a_range_is_a_label(tmp_path: Path) -> None:
    table = tmp_path / "ages.csv"
    table.write_text("path,age,age_group\na.jpg,26,25-34\nb.jpg,,25-34\nc.jpg,,\n")
    options = ImportOptions("s", labels={"age_group": "young"})
    frame = import_source(table, options)
    # what is known to cross a boundary is not given the label of photos without one
    assert frame["age_group"].to_list() == ["young", None, "young"]
    assert options.ages_across == ["b.jpg"]


def test_columns_of_ranges_have_usual_names(tmp_path: Path) -> None:
    table = tmp_path / "ages.csv"
    table.write_text("file,age_range,gender\na.jpg,20-29,male\n")
    assert import_source(table, ImportOptions("s"))["age_group"].to_list() == ["young"]


def test_all_wrong_ages_are_named_by_row(tmp_path: Path) -> None:
    table = tmp_path / "ages.csv"
    table.write_text("path,age\na.jpg,39-30\nb.jpg,elderly\nc.jpg,30-39\nd.jpg,110-130\n")
    with pytest.raises(ManifestError) as raised:
        import_source(table, ImportOptions("s"))
    message = str(raised.value)
    assert "3 problem(s)" in message
    assert "row 2: age: '39-30' is a range that falls; write 30-39" in message
    assert [f"row {row}:" in message for row in (2, 3, 4, 5)] == [True, True, False, True]


def test_numbers_of_age_groups_are_not_ages(tmp_path: Path) -> None:
    table = tmp_path / "groups.csv"
    table.write_text("path,age_group\na.jpg,2\n")
    with pytest.raises(ManifestError, match="'2' is none of young, middle, old"):
        import_source(table, ImportOptions("s"))


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def test_file_names_of_id_gender_race_and_age(tmp_path: Path) -> None:
    touch(tmp_path, "00924_female_Asian_16.jpg", "7_Male_LatinoHispanic_70-79.png",
          "8_male_White_more than 70.jpg", "9_male_White_25-34.jpg",
          "7_Male_Indian_30.jpg")  # fmt: skip
    assert detect_layout(tmp_path) == "file-names"
    options = ImportOptions("s")
    frame = import_source(tmp_path, options)
    columns = ("person", "gender", "age", "age_group")
    assert sorted(zip(*(frame[name] for name in columns), strict=True), key=str) == [
        ("s:00924", "female", 16, "young"),
        ("s:7", "male", 30, "middle"),
        ("s:7", "male", None, "old"),
        ("s:8", "male", None, "old"),
        ("s:9", "male", None, None),
    ]
    assert options.ages_across == [str(tmp_path / "9_male_White_25-34.jpg")]


def test_races_and_ages_may_have_underscores(tmp_path: Path) -> None:
    touch(tmp_path, "1_male_Latino_Hispanic_30-39.jpg", "2_female_Middle Eastern_20_29.jpg",
          "3_female_White_more_than_70.jpg", "4_Female_East-Asian_41.jpg")  # fmt: skip
    frame = import_source(tmp_path, ImportOptions("s"))
    assert frame["age_group"].to_list() == ["middle", "young", "old", "middle"]
    assert frame["person"].to_list() == ["s:1", "s:2", "s:3", "s:4"]


def test_what_is_skipped_is_not_in_the_manifest(tmp_path: Path) -> None:
    touch(tmp_path, "1_female_Asian_16.jpg", "1_male_Asian_20.jpg", "2_male_Asian_25-34.jpg",
          "3_male_Asian.jpg")  # fmt: skip
    options = ImportOptions("s", skip_bad=True)
    assert import_source(tmp_path, options)["person"].to_list() == ["s:2"]
    assert len(options.skipped) == 2
    assert len(options.ages_across) == 1


def test_wrong_file_names_are_all_listed(tmp_path: Path) -> None:
    touch(tmp_path, "1_female_Asian_16.jpg", "2_female_Asian_old.jpg", "3_Asian.jpg",
          "1_male_Asian_20.jpg", "4_male_Asian_59-50.jpg")  # fmt: skip
    with pytest.raises(ManifestError) as raised:
        import_source(tmp_path, ImportOptions("s"))
    message = str(raised.value)
    assert "4 problem(s)" in message
    assert "3_Asian.jpg: expected id_gender_race_age.jpg" in message
    assert "'59-50' is a range that falls" in message
    assert "person s:1 is male and female" in message


def test_ranges_stay_in_the_manifest(tmp_path: Path) -> None:
    """Also of ages that cross a boundary: a model that predicts years learns from them."""
    table = tmp_path / "table.csv"
    table.write_text("path,age\na.jpg,25-34\nb.jpg,more than 70\nc.jpg,41\nd.jpg,\n")
    for name in "abcd":
        (tmp_path / f"{name}.jpg").write_bytes(b"")
    frame = import_source(table, ImportOptions("s"))
    assert frame["age_range"].to_list() == ["25-34", "71-120", None, None]
    write_manifest(frame, tmp_path / "m.csv")
    again = read_manifest(tmp_path / "m.csv")
    assert again.select("age", "age_group", "age_range").rows() == [
        (None, None, "25-34"), (None, "old", "71-120"), (41, "middle", None), (None, None, None)
    ]  # fmt: skip
    ranges = training_age_ranges(again, LabelSettings())
    assert ranges[:2].tolist() == [[25, 34], [71, 120]]
    assert np.isnan(ranges[2:]).all()
    # ages that training leaves out
    dropped = LabelSettings(drop_ages=((25, 34),))
    assert np.isnan(training_age_ranges(again, dropped)[0]).all()
    assert training_age_ranges(again, LabelSettings(drop_ages=((25, 33),)))[0].tolist() == [25, 34]
    assert training_codes(again, LabelSettings(drop_ages=((71, 120),)))["age_group"][1] == UNKNOWN
    plain = again.filter(pl.col("age").is_not_null())
    write_manifest(plain, tmp_path / "plain.csv")
    assert "age_range" not in (tmp_path / "plain.csv").read_text()
    assert np.isnan(
        training_age_ranges(read_manifest(tmp_path / "plain.csv"), LabelSettings())
    ).all()
    merged = merge_manifests([again, read_manifest(tmp_path / "plain.csv").with_columns(
        photo=pl.lit("/e"), person=pl.lit("e"))])  # fmt: skip
    assert merged["age_range"].to_list() == ["25-34", "71-120", None, None, None]


def test_ranges_of_a_manifest_are_checked(tmp_path: Path) -> None:
    rows = [
        {"photo": f"{name}.jpg", "person": name, "source": "s", "age": age, "age_group": group,
         "age_range": ages}
        for name, age, group, ages in (
            ("a", None, "old", "30-39"),
            ("b", 45, None, "30-39"),
            ("c", None, None, "39-30"),
            ("d", None, "young", "20-29"),
            ("e", None, None, "30-39"),
            ("f", None, "young", "25-34"),
            ("g", None, "old", "25-34"),
            ("h", None, None, "35"),
        )
    ]  # fmt: skip
    columns = ["photo", "person", "mask", "gender", "age", "age_group", "box", "source", "fold"]
    frame = pl.DataFrame(rows, schema_overrides={"age": pl.Int64})
    missing = [pl.lit(None).alias(name) for name in columns if name not in frame.columns]
    frame.with_columns(missing).write_csv(tmp_path / "m.csv")
    with pytest.raises(ManifestError) as raised:
        read_manifest(tmp_path / "m.csv", check_photos=False)
    assert str(raised.value).splitlines()[1:] == [
        "  - row 2: no age of age_range 30-39 is old, as age_group says",
        "  - row 3: age 45 is not in age_range 30-39; correct one of them",
        "  - row 4: age_range: '39-30' is a range that falls; write 30-39",
        "  - row 8: no age of age_range 25-34 is old, as age_group says",
        "  - row 9: age_range 35 is a single age; write it in the column age",
    ]
    frame[3:6].with_columns(missing).write_csv(tmp_path / "m.csv")
    good = read_manifest(tmp_path / "m.csv", check_photos=False)
    assert good["age_group"].to_list() == ["young", "middle", "young"]


def test_a_corrected_age_leaves_no_range_that_contradicts_it(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(b"")
    row = {"photo": str(tmp_path / "a.jpg"), "person": "a", "source": "s", "age_range": "30-39"}
    frame = manifest_from_rows([row, {**row, "photo": str(tmp_path / "b.jpg"), "person": "b"}])
    assert frame["age_group"].to_list() == ["middle", "middle"]
    corrections = [Correction(row["photo"], "age_group", "middle", "old")]
    applied = apply_corrections(frame, corrections, tmp_path)
    assert applied.frame.select("age_group", "age_range").rows() == [
        ("old", None), ("middle", "30-39")
    ]  # fmt: skip
    crossing = manifest_from_rows([{**row, "age_range": "25-34"}])
    for after, left in (("young", "25-34"), ("old", None)):
        corrections = [Correction(row["photo"], "age_group", "", after)]
        frame = apply_corrections(crossing, corrections, tmp_path).frame
        assert frame.select("age_group", "age_range").rows() == [(after, left)]
    corrections = [Correction(row["photo"], "age", "", "27")]
    frame = apply_corrections(crossing, corrections, tmp_path).frame
    assert frame.select("age", "age_range").rows() == [(27, None)]


def test_groups_of_ranges_follow_other_boundaries() -> None:
    rows = [
        {"photo": name, "person": name, "source": "s", "age_range": ages, "age_group": group}
        for name, ages, group in (
            ("a", "40-49", None), ("b", "58-59", None), ("c", "25-34", "young"), ("d", None, "old")
        )
    ]  # fmt: skip
    frame = manifest_from_rows(rows)
    assert frame["age_group"].to_list() == ["middle", "middle", "young", "old"]
    assert fill_age_groups(frame, (20, 40))["age_group"].to_list() == [
        "old",
        "old",
        "middle",
        "old",
    ]
    # the range crosses 45: what it was by 30 and 60 says nothing
    other = fill_age_groups(frame, (22, 45))["age_group"].to_list()
    assert other == [None, "old", "middle", "old"]


def test_an_age_and_a_range_of_a_table_agree(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text(
        "path,age,age_range,age_group\na.jpg,,25-34,\nb.jpg,31,30-39,\nc.jpg,,25-34,young\n"
        "d.jpg,,35,\n"
    )
    frame = import_source(table, ImportOptions("s"))
    assert frame.select("age", "age_range", "age_group").rows() == [
        (None, "25-34", None), (31, None, "middle"), (None, "25-34", "young"), (35, None, "middle")
    ]  # fmt: skip
    table.write_text("path,age,age_range,age_group\na.jpg,41,25-34,\nb.jpg,,25-34,old\n")
    with pytest.raises(ManifestError) as raised:
        import_source(table, ImportOptions("s"))
    assert "row 2: age 41 is not in the range 25-34" in str(raised.value)
    assert "row 3: no age of 25-34 is old" in str(raised.value)


def test_ranges_alone_are_enough_to_learn_years_from() -> None:
    rows = [
        {"photo": f"{n}", "person": f"{n}", "source": "s", "age_range": "25-34", "fold": "train"}
        for n in range(4)
    ]
    runs = RunRows(manifest_from_rows(rows), np.arange(4), np.arange(0))
    words = ["model.tasks=[age_group]", "train.val_fold=none"]
    check_labels(runs, load_settings(None, [*words, "model.age=distribution"]))
    with pytest.raises(ManifestError, match="no training photo has a label"):
        check_labels(runs, load_settings(None, words))
