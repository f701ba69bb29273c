"""CSV files as people have them: spellings, encodings, delimiters, and what is refused."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from maskwise.data.csv_files import read_rows
from maskwise.data.manifest import manifest_from_rows, read_manifest, write_manifest
from maskwise.data.options import ImportOptions
from maskwise.data.sources import import_source
from maskwise.errors import ManifestError

TABLE = "path,gender,age,mask\na.jpg,male,33,wear\nb.jpg,female,61,not_wear\n"


def imported(tmp_path: Path, text: str | bytes, **options: Any) -> pl.DataFrame:
    return import_source(written(tmp_path, text), ImportOptions(source="s", **options))


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def labels(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    return frame.select("gender", "age", "mask").rows()


@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        TABLE.replace(",", ", "),
        TABLE.replace("path,gender,age,mask", " Path , GENDER,Age ,\tMask"),
        TABLE.replace("path", "File_Name").replace("mask", "Mask State", 1),
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace("\n", "\r\n") + ",,,\r\n\r\n",
        ("\ufeff" + TABLE).encode("utf-8"),
        TABLE.encode("utf-16"),
        TABLE.replace("male,33", "Male ,33").replace("wear\n", "With_Mask\n", 1),
        '"path","gender","age","mask"\n"a.jpg","male","33","wear"\nb.jpg,female,61,"No mask"\n',
    ],
)
def test_spellings_encodings_and_delimiters_are_known(tmp_path: Path, text: str | bytes) -> None:
    found = labels(imported(tmp_path, text))
    assert found == [("male", 33, "wear"), ("female", 61, "not_wear")]


def test_korean_excel_is_read(tmp_path: Path) -> None:
    frame = imported(tmp_path, "path,gender\n\uae40\ubbfc\uc218.jpg,male\n".encode("cp949"))
    assert frame["photo"][0].endswith("\uae40\ubbfc\uc218.jpg")
    made = manifest_from_rows([{"photo": "\uae40.jpg", "person": "1", "source": "s"}])
    write_manifest(made, tmp_path / "manifest.csv")
    text = (tmp_path / "manifest.csv").read_text(encoding="utf-8")
    (tmp_path / "manifest.csv").write_bytes(text.encode("cp949"))
    read = read_manifest(tmp_path / "manifest.csv", check_photos=False)
    assert read["photo"][0].endswith("\uae40.jpg")


def test_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"labels\.csv is neither UTF-8.*save it as UTF-8"):
        read_rows(written(tmp_path, b"path\n\xff\xff.jpg\n"))


@pytest.mark.parametrize("header", ["path,gender,gender", "path,gender,Gender", "path,mask, mask"])
def test_columns_of_one_name_are_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(ManifestError, match="columns of one name"):
        imported(tmp_path, f"{header}\na.jpg,male,female\n")


def test_two_columns_for_one_are_refused_until_one_is_chosen(tmp_path: Path) -> None:
    text = "path,file,sex\na.jpg,b.jpg,m\n"
    with pytest.raises(ManifestError, match="'path' and 'file' could both be photo: choose with"):
        imported(tmp_path, text)
    assert imported(tmp_path, text, columns={"photo": "FILE"})["photo"][0].endswith("b.jpg")


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("left,top,right,bottom", "1,2,30,40"),
        ("Left,Top,Right,Bottom", "1,2,30,40"),
        ("xmin,ymin,xmax,ymax", "1,2,30,40"),
        ("x_min, y_min, x_max, y_max", "1,2,30,40"),
        ("x1,y1,x2,y2", "1,2,30,40"),
        ("x,y,w,h", "1,2,29,38"),
        ("X,Y,Width,Height", "1,2,29,38"),
        ("bbox", '"[1, 2, 30, 40]"'),
    ],
)
def test_boxes_are_known_by_many_names(tmp_path: Path, header: str, cells: str) -> None:
    empty = "," * header.count(",")
    frame = imported(tmp_path, f"path,{header}\na.jpg,{cells}\nb.jpg,{empty}\n")
    assert frame["box"].to_list() == ["1 2 30 40", None]


def test_a_box_in_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"row 2: box: ymin and xmax are empty"):
        imported(tmp_path, "path,xmin,ymin,xmax,ymax\na.jpg,1,,,4\n")


@pytest.mark.parametrize("word", ["None", "nan", "NULL", "unknown", "N/A", "?", ""])
def test_words_for_nothing_are_no_label(tmp_path: Path, word: str) -> None:
    frame = imported(tmp_path, f"path,gender,age\na.jpg,{word},{word}\nb.jpg,male,20\n")
    assert frame.select("gender", "age", "age_group").rows()[0] == (None, None, None)


def test_none_of_a_mask_must_be_explained(tmp_path: Path) -> None:
    text = "path,mask\na.jpg,None\nb.jpg,wear\n"
    with pytest.raises(ManifestError, match=r"row 2: mask: 'None' may mean no mask, or"):
        imported(tmp_path, text)
    for word, expected in (("", None), ("not_wear", "not_wear")):
        frame = imported(tmp_path, text, values={"mask": {"none": word}})
        assert frame["mask"].to_list() == [expected, "wear"]


def test_values_may_say_unknown_and_must_occur(tmp_path: Path) -> None:
    options = ImportOptions(source="s", values={"gender": {"X": "", "Homme": "male"}})
    frame = import_source(written(tmp_path, "path,gender\na.jpg,x\nb.jpg,female\n"), options)
    assert frame["gender"].to_list() == [None, "female"]
    assert "--value gender:homme=male: no row says 'homme'" in options.warnings


def test_an_id_that_counts_rows_is_no_person(tmp_path: Path) -> None:
    text = "id,path\n1,ann-1.jpg\n2,ann1-2.jpg\n3,ann1-3.jpg\n"
    options = ImportOptions(source="s")
    frame = import_source(written(tmp_path, text), options)
    assert frame["person"].to_list() == ["s:ann-1", "s:ann1", "s:ann1"]
    assert "names rows and no people" in options.warnings[0]
    kept = imported(tmp_path, text, columns={"person": "id"})
    assert kept["person"].to_list() == ["1", "2", "3"]
    repeated = imported(tmp_path, text.replace("3,", "2,"))
    assert repeated["person"].to_list() == ["1", "2", "2"]


def test_unused_columns_are_told(tmp_path: Path) -> None:
    options = ImportOptions(source="s")
    table = written(tmp_path, "path,gender,race,x1,y1,x2,y2,gendr\na.jpg,male,Asian,1,2,3,4,f\n")
    import_source(table, options)
    assert options.unused_columns == ["race", "gendr"]


def test_a_quotation_mark_that_does_not_end_is_refused(tmp_path: Path) -> None:
    rows = 'path,gender,note\na.jpg,male,\nb.jpg,female,"6 foot\nc.jpg,male,\nd.jpg,female,\n'
    with pytest.raises(ManifestError, match="does a cell begin with a quotation mark"):
        imported(tmp_path, rows)


def test_an_id_beside_people_is_no_person(tmp_path: Path) -> None:
    frame = imported(tmp_path, "id,person_id,photo\n1,a,x.jpg\n2,a,y.jpg\n")
    assert frame["person"].to_list() == ["a", "a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,XMin,XMax,YMin,YMax\na.jpg,0.1,0.5,0.2,0.6\n", "expected pixels, got shares"),
        ("path,age,age_group\na.jpg,45,young\n", "age 45 is middle, but the age group is young"),
        ("path,age_range,age\na.jpg,20-29,60-69\n", "there are two ranges of ages"),
        ("path,mask\na.jpg,mask 0\n", "'mask 0' is none of"),
        ("path,mask\na.jpg,mask?\n", "'mask\\?' is none of"),
    ],
)
def test_what_contradicts_itself_or_is_unclear_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        imported(tmp_path, text)


def test_the_order_of_a_bbox_is_asked_about(tmp_path: Path) -> None:
    options = ImportOptions(source="s")
    import_source(written(tmp_path, 'path,bbox\na.jpg,"[10, 20, 50, 60]"\n'), options)
    assert "bbox is read as left, top, right, bottom" in options.warnings[0]
