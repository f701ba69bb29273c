"""Every layout of photos and labels: how it is known, what its rows say, what is refused."""

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from maskwise.data.options import ImportOptions
from maskwise.data.sources import detect_layout, import_source
from maskwise.errors import ManifestError, SettingsError

PHOTO = b"not decoded here"


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PHOTO)


def imported(source: Path, layout: str | None = None, **options: Any) -> pl.DataFrame:
    return import_source(source, ImportOptions(source="s", **options), layout)


def refusal(source: Path, layout: str | None = None, **options: Any) -> str:
    with pytest.raises(ManifestError) as raised:
        imported(source, layout, **options)
    return str(raised.value)


def rows(frame: pl.DataFrame, root: Path, *columns: str) -> list[tuple[object, ...]]:
    names = [photo.removeprefix(f"{root}/") for photo in frame["photo"]]
    return list(zip(names, *(frame[column] for column in columns), strict=True))


def write_voc(folder: Path, name: str, *faces: tuple[str, str], filename: str = "") -> None:
    corners = ("xmin", "ymin", "xmax", "ymax")
    objects = "".join(
        f"<object><name>{word}</name><bndbox>"
        + "".join(f"<{c}>{v}</{c}>" for c, v in zip(corners, box.split(), strict=False))
        + "</bndbox></object>"
        for word, box in faces
    )
    named = f"<filename>{filename}</filename>" if filename else ""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"<annotation>{named}{objects}</annotation>")


# --- competition


def competition(root: Path, csv: str | None = None) -> Path:
    images = root / "train" / "images"
    touch(images / "000001_female_Asian_45", "mask1.jpg", "mask2.jpeg", "incorrect_mask.png")
    touch(images / "000001_female_Asian_45", "normal.JPG", "._mask1.jpg", "notes.txt")
    touch(images / "001498-1_male_Asian_29", "mask5.jpg", "normal.jpg")
    touch(images / "._000001_female_Asian_45", "mask1.jpg")
    touch(images, "._000009_male_Asian_20")
    if csv is not None:
        (root / "train" / "train.csv").write_text(csv, encoding="utf-8")
    return root


@pytest.mark.parametrize("start", ["", "train", "train/images"])
def test_competition_without_train_csv(start: str, tmp_path: Path) -> None:
    root = competition(tmp_path)
    assert detect_layout(root / start) == "competition"
    frame = imported(root / start)
    found = rows(frame, root / "train/images", "person", "mask", "gender", "age", "age_group")
    first, second = "000001_female_Asian_45", "001498-1_male_Asian_29"
    assert found == [
        (f"{first}/incorrect_mask.png", "000001", "incorrect", "female", 45, "middle"),
        (f"{first}/mask1.jpg", "000001", "wear", "female", 45, "middle"),
        (f"{first}/mask2.jpeg", "000001", "wear", "female", 45, "middle"),
        (f"{first}/normal.JPG", "000001", "not_wear", "female", 45, "middle"),
        (f"{second}/mask5.jpg", "001498-1", "wear", "male", 29, "young"),
        (f"{second}/normal.jpg", "001498-1", "not_wear", "male", 29, "young"),
    ]
    assert frame["source"].unique().to_list() == ["s"]
    assert frame["fold"].null_count() == 6


@pytest.mark.parametrize("start", ["", "train"])
def test_train_csv_corrects_a_label(start: str, tmp_path: Path) -> None:
    text = "\ufeffid,gender,race,age,path\n000001,male,Asian,60,000001_female_Asian_45\n"
    frame = imported(competition(tmp_path, text) / start)
    by_person = dict(frame.group_by("person").agg(pl.struct("gender", "age").unique()).iter_rows())
    assert by_person["000001"] == [{"gender": "male", "age": 60}]
    assert by_person["001498-1"] == [{"gender": "male", "age": 29}]


def test_wrong_train_csv_names_its_rows(tmp_path: Path) -> None:
    lines = ["x,female,Asian,45,ok", "x,woman,Asian,45,b", "x,male,Asian,old,c", "x,male,Asian,9,"]
    text = "id,gender,race,age,path\n" + "\n".join(lines) + "\n"
    root = competition(tmp_path, text)
    touch(root / "train" / "images" / "ok_female_Asian_30", "mask1.jpg")
    (root / "train" / "train.csv").write_text(text.replace(",ok\n", ",ok_female_Asian_30\n"))
    message = refusal(root)
    assert "train.csv" in message
    assert [f"row {row}:" in message for row in (2, 3, 4, 5)] == [False, True, True, True]


def test_train_csv_of_other_columns_is_refused(tmp_path: Path) -> None:
    root = competition(tmp_path, "")
    for text in ("id,gender,이름\n", "id,gender,이름\n1,male,김\n"):
        (root / "train" / "train.csv").write_bytes(text.encode("cp949"))
        assert "train.csv: expected rows with the columns path, gender, age" in refusal(root)


def test_train_csv_must_match_the_folders(tmp_path: Path) -> None:
    rows = ["000001_female_Asian_45", "000001_female_Asian_46", "000001_female_Asian_45"]
    text = "id,gender,race,age,path\n" + "".join(f"1,Female,Asian,45,{row}\n" for row in rows)
    message = refusal(competition(tmp_path, text))
    assert "row 3: there is no folder 000001_female_Asian_46; did you mean 000001_female" in message
    assert "row 4: 000001_female_Asian_45 stands in an earlier row, too" in message
    (tmp_path / "train" / "train.csv").write_text(
        "path,gender,age\n000001_female_Asian_45,male,50\n"
    )
    options = ImportOptions("s")
    frame = import_source(tmp_path, options)
    assert set(frame.filter(person="000001")["gender"]) == {"male"}
    assert "1 folder(s) stand in no row of train.csv" in options.warnings[0]
    assert "001498-1_male_Asian_29" in options.warnings[0]


def test_wrong_competition_names_are_all_listed(tmp_path: Path) -> None:
    images = competition(tmp_path) / "train" / "images"
    touch(images / "000002_man_Asian_30", "mask1.jpg")
    touch(images / "000003_male_Asian_30", "mask 1.jpg")
    message = refusal(tmp_path)
    assert "2 problem(s)" in message
    assert "000002_man_Asian_30: expected a name such as" in message
    assert "mask 1.jpg: expected mask1..5, incorrect_mask or normal" in message


def test_age_that_no_manifest_takes_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "images" / "000001_male_Asian_450", "mask1.jpg")
    assert "000001_male_Asian_450" in refusal(tmp_path)


# --- answers


def answers(root: Path, table: str, *lines: str) -> Path:
    touch(root / "images", "a.jpg", "b.jpg")
    (root / table).write_text("\n".join(["ImageID,ans", *lines]) + "\n")
    return root


def test_answers_give_the_three_labels(tmp_path: Path) -> None:
    answers(tmp_path, "info.csv", "a.jpg,0", "b.jpg,0")
    root = answers(tmp_path, "gt.csv", "a.jpg,17", "b.jpg,7")
    assert detect_layout(root) == "answers"
    assert rows(imported(root), root / "images", "person", "mask", "gender", "age_group") == [
        ("a.jpg", "s:a", "not_wear", "female", "old"),
        ("b.jpg", "s:b", "incorrect", "male", "middle"),
    ]


def test_info_without_answers_leaves_labels_unknown(tmp_path: Path) -> None:
    frame = imported(answers(tmp_path, "info.csv", "b.jpg,0", "a.jpg,0"))
    assert rows(frame, tmp_path / "images", "mask", "gender", "age", "age_group") == [
        ("b.jpg", None, None, None, None),
        ("a.jpg", None, None, None, None),
    ]


def test_wrong_answers_name_their_rows(tmp_path: Path) -> None:
    lines = ["a.jpg,3", "b.jpg,18", ",4", "a.jpg,-1", "b.jpg,x", "b.jpg"]
    message = refusal(answers(tmp_path, "gt.csv", *lines))
    assert "5 problem(s)" in message
    assert "row 2:" not in message
    assert all(f"row {row}: expected ImageID and an ans" in message for row in (3, 4, 5, 6, 7))


def test_answers_layout_without_a_table_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "images", "a.jpg")
    assert str(tmp_path) in refusal(tmp_path, "answers")


# --- UTKFace


def test_utkface_names_also_the_odd_ones(tmp_path: Path) -> None:
    names = {
        "116_1_0_20170112220255503.jpg.chip.jpg": ("female", 116),
        "24_0_1_20170116220224657 .jpg.chip.jpg": ("male", 24),
        "39_1_20170116174525125.jpg.chip.jpg": ("female", 39),
        "55_0_0_20170116232725357jpg.chip.jpg": ("male", 55),
        "1_0_4_20161221193016140.jpg": ("male", 1),
    }
    touch(tmp_path, *names, "._1_0_4_20161221193016140.jpg")
    assert detect_layout(tmp_path) == "utkface"
    frame = imported(tmp_path)
    found = {name: labels for name, *labels in rows(frame, tmp_path, "gender", "age")}
    assert {name: tuple(labels) for name, labels in found.items()} == names
    assert frame["person"].n_unique() == 5
    assert frame["mask"].null_count() == 5


@pytest.mark.parametrize(
    "name", ["130_1_0_20170112220255503.jpg", "30_2_0_20170112220255503.jpg", "holiday.jpg"]
)
def test_wrong_utkface_name_is_refused(name: str, tmp_path: Path) -> None:
    touch(tmp_path, name, "1_0_4_20161221193016140.jpg")
    assert f"{name}: expected age_gender_race_date.jpg" in refusal(tmp_path)


# --- folders


def test_decades_give_gender_and_group_but_no_age(tmp_path: Path) -> None:
    for name in ("20F", "30M", "50F", "60M"):
        touch(tmp_path / name, f"{name}1-0.jpg", f"._{name}.jpg")
    assert detect_layout(tmp_path) == "decades"
    assert rows(imported(tmp_path), tmp_path, "person", "gender", "age", "age_group") == [
        ("20F/20F1-0.jpg", "s:20F1", "female", None, "young"),
        ("30M/30M1-0.jpg", "s:30M1", "male", None, "middle"),
        ("50F/50F1-0.jpg", "s:50F1", "female", None, "middle"),
        ("60M/60M1-0.jpg", "s:60M1", "male", None, "old"),
    ]


def test_mask_folders_group_the_faces_of_one_photo(tmp_path: Path) -> None:
    touch(tmp_path / "wear", "ilc-00ab-0.jpg", "ilc-00ab-14.jpg", "maf-000009.jpg")
    touch(tmp_path / "Incorrect", "ilc-00ab-3.jpg", "maf-000010.jpg")
    touch(tmp_path / "without_mask", "maf-000011.png")
    assert detect_layout(tmp_path) == "mask-folders"
    frame = imported(tmp_path)
    assert sorted(rows(frame, tmp_path, "person", "mask")) == [
        ("Incorrect/ilc-00ab-3.jpg", "s:ilc-00ab", "incorrect"),
        ("Incorrect/maf-000010.jpg", "s:Incorrect/maf-000010", "incorrect"),
        ("wear/ilc-00ab-0.jpg", "s:ilc-00ab", "wear"),
        ("wear/ilc-00ab-14.jpg", "s:ilc-00ab", "wear"),
        ("wear/maf-000009.jpg", "s:wear/maf-000009", "wear"),
        ("without_mask/maf-000011.png", "s:without_mask/maf-000011", "not_wear"),
    ]


def test_person_pattern_names_the_person(tmp_path: Path) -> None:
    touch(tmp_path / "wear", "cam1_anna_3.jpg", "cam2_anna_9.jpg", "cam1_bert_1.jpg")
    frame = imported(tmp_path, person_pattern=r"_([a-z]+)_")
    assert frame["person"].to_list() == ["s:anna", "s:bert", "s:anna"]


@pytest.mark.parametrize("pattern", ["(", "[a-z]+"], ids=["broken", "without a group"])
def test_wrong_person_pattern_is_refused(pattern: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"--person-pattern {pattern}")):
        ImportOptions("s", person_pattern=pattern)


# --- Pascal VOC


@pytest.mark.parametrize("nested", [True, False])
def test_voc_has_a_row_per_face(nested: bool, tmp_path: Path) -> None:
    annotations = tmp_path / "annotations" if nested else tmp_path
    images = tmp_path / "images" if nested else tmp_path
    touch(images, "one.png", "two.jpg", "three.jpg")
    faces = [("with_mask", "1 2 30 40"), ("mask_weared_incorrect", "50 2 60 12.5")]
    write_voc(annotations, "one.xml", *faces, filename="one.png")
    write_voc(annotations, "two.xml", ("without_mask", "5 5 9 9"), ("face", "1 1 4 4"))
    write_voc(annotations, "three.xml", filename="three.jpg")
    write_voc(annotations, "._one.xml", ("dog", "1"))
    assert detect_layout(tmp_path) == "voc"
    assert rows(imported(tmp_path), images, "person", "mask", "box") == [
        ("one.png", "s:one", "wear", "1 2 30 40"),
        ("one.png", "s:one", "incorrect", "50 2 60 12.5"),
        ("two.jpg", "s:two", "not_wear", "5 5 9 9"),
        ("two.jpg", "s:two", None, "1 1 4 4"),
    ]


def test_voc_photos_may_lie_elsewhere(tmp_path: Path) -> None:
    touch(tmp_path / "pictures", "one.jpg")
    write_voc(tmp_path / "boxes", "one.xml", ("wear", "1 2 3 4"))
    frame = imported(tmp_path / "boxes", photos=tmp_path / "pictures")
    assert rows(frame, tmp_path, "box") == [("pictures/one.jpg", "1 2 3 4")]


def test_wrong_voc_files_are_all_listed(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}.jpg" for name in ("broken", "name", "box", "corner", "good")))
    write_voc(tmp_path, "good.xml", ("wear", "1 2 3 4"))
    write_voc(tmp_path, "name.xml", ("helmet", "1 2 3 4"))
    write_voc(tmp_path, "box.xml", ("wear", "9 9 1 1"))
    write_voc(tmp_path, "corner.xml", ("wear", "1 2 3"))
    write_voc(tmp_path, "lost.xml", ("wear", "1 2 3 4"))
    (tmp_path / "broken.xml").write_text("<annotation><object>")
    (tmp_path / "coded.xml").write_text('<?xml version="1.0" encoding="none"?><annotation/>')
    write_voc(tmp_path, "long.xml", ("wear", "1 2 3 4"), filename="x" * 300 + ".jpg")
    message = refusal(tmp_path)
    assert "7 problem(s)" in message
    names = ("broken", "name", "box", "corner", "lost", "coded", "long")
    assert all(f"{name}.xml:" in message for name in names)
    assert "object 'helmet'; expected face, wear" in message
    assert f"no photo at {tmp_path}/lost.jpg" in message


# --- CSV


def write_csv(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_csv_with_columns_known_by_habit(tmp_path: Path) -> None:
    header = "\ufeffFilename,Subject,Sex,years,wear,left,top,right,bottom"
    path = write_csv(
        tmp_path / "t.csv", header, "p/a.jpg,007,F,45,no,1,2,3.5,4", "p/b.jpg,7,man,,worn,,,,"
    )
    assert detect_layout(path) == "csv"
    found = rows(imported(path), tmp_path, "person", "gender", "age", "age_group", "mask", "box")
    assert found == [
        ("p/a.jpg", "007", "female", 45, "middle", "not_wear", "1 2 3.5 4"),
        ("p/b.jpg", "7", "male", None, None, "wear", None),
    ]


def test_csv_columns_and_values_are_translated(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", "bild,path,G,state", "a-1.jpg,x,1,2", "a-2.jpg,y,0,")
    frame = imported(
        path,
        columns={"photo": "bild", "gender": "G", "mask": "state"},
        values={"gender": {"1": "female", "0": "male"}, "mask": {"2": "incorrect"}},
        photos=tmp_path / "pics",
    )
    assert rows(frame, tmp_path / "pics", "person", "gender", "mask") == [
        ("a-1.jpg", "s:a-1", "female", "incorrect"),
        ("a-2.jpg", "s:a-2", "male", None),
    ]


def test_csv_takes_ages_as_pandas_writes_them(tmp_path: Path) -> None:
    frame = imported(write_csv(tmp_path / "t.csv", "photo,age", "a.jpg,45.0", "b.jpg,"))
    assert frame["age"].to_list() == [45, None]


def test_wrong_csv_values_name_their_rows(tmp_path: Path) -> None:
    lines = ["a.jpg,m,45,1 2 3 4", "b.jpg,x,45,", "c.jpg,f,130,", "d.jpg,f,old,", ",f,4,"]
    path = write_csv(tmp_path / "t.csv", "photo,gender,age,box", *lines, "e.jpg,f,4,1 2 3")
    message = refusal(path)
    assert "5 problem(s)" in message
    assert "row 2:" not in message
    assert "row 3: gender: 'x' is none of male, female" in message
    assert "--value gender:x=WORD" in message
    assert "row 4: age: '130'" in message
    assert "row 5: age: 'old'" in message
    assert "row 6: the photo is empty" in message
    assert "row 7: box: " in message


def test_wrong_csv_columns_are_all_listed(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", "name,sex", "a.jpg,m")
    message = refusal(path, columns={"age": "Alter", "colour": "sex"})
    assert "the file has no column 'Alter'" in message
    assert "--column colour: expected one of photo, person" in message
    assert "no photo column among: name, sex" in message


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00photo", b"photo\n"])
def test_csv_without_rows_or_text_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    assert "t.csv" in refusal(tmp_path / "t.csv")


# --- any layout


def test_missing_folder_unknown_layout_and_no_photos(tmp_path: Path) -> None:
    assert "no folder or file at" in refusal(tmp_path / "none")
    assert "no known layout (competition, answers" in refusal(tmp_path)
    assert "no layout 'coco'; known: competition" in refusal(tmp_path, "coco")
    (tmp_path / "wear").mkdir()
    assert "no photos found as mask-folders" in refusal(tmp_path)
    assert "no folders such as images/" in refusal(tmp_path, "competition")
    for layout in ("utkface", "decades", "voc"):
        assert f"no photos found as {layout}" in refusal(tmp_path, layout)


def test_layout_of_a_folder_cannot_read_a_file(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", "photo", "a.jpg")
    assert "the layout voc needs a folder" in refusal(path, "voc")
    assert "cannot read" in refusal(tmp_path, "csv")


def test_folders_that_are_misspelt_are_named_or_skipped(tmp_path: Path) -> None:
    touch(tmp_path / "wear", "a.jpg")
    touch(tmp_path / "incorect", "b.jpg", "c.jpg")
    assert "incorect: 2 photos; expected a folder named wear" in refusal(tmp_path)
    options = ImportOptions("s", skip_bad=True)
    assert len(import_source(tmp_path, options)) == 1
    assert len(options.skipped) == 1


def test_plain_numbers_after_a_dash_are_photos_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path / "wear", "face-1.jpg", "face-2.jpg", "7-0.jpg", "7-1.jpg")
    assert imported(tmp_path)["person"].n_unique() == 3


# --- labels of folders and options


def test_folders_of_gender_and_mask_state(tmp_path: Path) -> None:
    touch(tmp_path, "female_wear/1.jpg", "male_not_wear/1.jpg", "incorrect/1.jpg")
    touch(tmp_path, "Women-With-Mask/1.jpg")
    assert detect_layout(tmp_path) == "mask-folders"
    found = rows(imported(tmp_path), tmp_path, "gender", "mask")
    assert found == [
        ("Women-With-Mask/1.jpg", "female", "wear"),
        ("female_wear/1.jpg", "female", "wear"),
        ("incorrect/1.jpg", None, "incorrect"),
        ("male_not_wear/1.jpg", "male", "not_wear"),
    ]
    assert imported(tmp_path)["person"].n_unique() == 4


def test_a_label_for_all_photos_of_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "k1.jpg", "k2.jpg", "deep/k1.jpg")
    frame = imported(tmp_path, "photos", labels={"mask": "incorrect"})
    assert frame["mask"].to_list() == ["incorrect"] * 3
    assert frame["person"].n_unique() == 3


def test_a_label_leaves_other_labels_alone(tmp_path: Path) -> None:
    table = tmp_path / "some.csv"
    table.write_text("path,mask\na.jpg,wear\nb.jpg,\n")
    frame = imported(table, labels={"mask": "not_wear", "gender": "male"})
    assert rows(frame, tmp_path, "mask", "gender") == [
        ("a.jpg", "wear", "male"),
        ("b.jpg", "not_wear", "male"),
    ]


def test_wrong_labels_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "k1.jpg")
    with pytest.raises(SettingsError, match=r"mask=worn: expected mask=wear\|(.|\n)*hat=red"):
        imported(tmp_path, "photos", labels={"mask": "worn", "hat": "red"})
    with pytest.raises(SettingsError, match="--label mask=wear"):
        imported(tmp_path, "photos")


def test_people_of_answers_are_checked(tmp_path: Path) -> None:
    touch(tmp_path / "images", "a.jpg", "b.jpg")
    (tmp_path / "gt.csv").write_text("ImageID,ans\na.jpg,0\nb.jpg,3\n")
    assert imported(tmp_path)["person"].to_list() == ["s:a", "s:b"]
    people = tmp_path / "people.csv"
    people.write_text("ImageID,person\na.jpg,1\nb.jpg,1\n")
    assert imported(tmp_path)["person"].to_list() == ["s:1", "s:1"]
    assert imported(tmp_path, person_pattern="(.)")["person"].to_list() == ["s:a", "s:b"]
    people.write_text("ImageID,person\na.jpg,1\nc.jpg,2\n")
    assert "people.csv: gt.csv has no photo c.jpg" in refusal(tmp_path)
    people.write_text("ImageID,person\na.jpg,1\na.jpg,2\nb.jpg,\n")
    message = refusal(tmp_path)
    assert "row 3: a.jpg stands in an earlier row, too" in message
    assert "row 4: expected ImageID and person" in message
