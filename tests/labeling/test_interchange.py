"""Labels that go to other programs, and come back."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from commands import invoke, refused
from conftest import read_rows
from labels_made import decision, opened
from maskwise.labeling.decisions import decide


@pytest.fixture
def begun(manifest: Path) -> Path:
    """A manifest about which ann has decided something, in the database beside it."""
    store, _ = opened(manifest, manifest.with_name("manifest-labels.db"))
    with store:
        decide(store, "ann", [decision(4, "label", mask="not_wear"), decision(2, "delete")])
    return manifest


def export(manifest: Path, program: str, out: Path) -> Path:
    assert invoke("label", "export", manifest, "--as", program, "--out", out)["photos"] == 36
    return out


def test_label_studio_gets_tasks_and_its_interface(begun: Path, tmp_path: Path) -> None:
    tasks = json.loads(export(begun, "label-studio", tmp_path / "tasks.json").read_text())
    done = [task for task in tasks if task["annotations"]]
    assert len(done) == 1
    assert done[0]["data"]["id"] == str(begun.parent / "photos/003.png")
    # photos/ has to be a storage of it, below its document root
    assert done[0]["data"]["image"] == "/data/local-files/?d=photos/003.png"
    made = done[0]["annotations"][0]
    assert "completed_by" not in made  # a name that Label Studio may not know
    told = {result["from_name"]: result["value"] for result in made["result"]}
    assert told == {"mask": {"choices": ["not_wear"]}, "gender": {"choices": ["female"]},
                    "age_group": {"choices": ["young"]}, "age": {"number": 22}}  # fmt: skip
    assert all(len(task["predictions"]) == 1 for task in tasks if task is not done[0])
    assert '<Choice value="incorrect"/>' in (tmp_path / "tasks.xml").read_text()


def test_the_box_of_a_face_goes_along(begun: Path, tmp_path: Path) -> None:
    rows = read_rows(begun)
    folder = begun.parent / "at noon"
    folder.mkdir()
    for name in ("1 & 2.png", "gone.png"):
        shutil.copy(begun.parent / rows["photo"][0], folder / name)
    boxes = rows[:2].with_columns(
        photo=pl.Series([str(folder / "1 & 2.png"), str(folder / "gone.png")]),
        box=pl.lit("8 12 24 36"),
    )
    manifest = tmp_path / "boxes.csv"
    boxes.write_csv(manifest)
    (folder / "gone.png").unlink()
    with Image.open(folder / "1 & 2.png") as photo:
        width, height = photo.size
    shares = [8 / width, 12 / height, 16 / width, 24 / height]

    made = invoke("label", "export", manifest, "--as", "label-studio", "--out", tmp_path / "t.json")
    assert made["storage"] == str(folder)
    assert made["document_root"] == str(begun.parent)
    first, gone = json.loads((tmp_path / "t.json").read_text())
    assert first["data"]["image"] == "/data/local-files/?d=at%20noon/1%20%26%202.png"
    (rectangle,) = [result for result in first["predictions"][0]["result"]
                    if result["from_name"] == "face"]  # fmt: skip
    names = ("x", "y", "width", "height")
    assert [rectangle["value"][name] / 100 for name in names] == pytest.approx(shares)
    assert {result["from_name"] for result in gone["predictions"][0]["result"]} >= {"gender"}
    assert all(result["from_name"] != "face" for result in gone["predictions"][0]["result"])

    invoke("label", "export", manifest, "--as", "fiftyone", "--out", tmp_path / "f")
    first, gone = json.loads((tmp_path / "f" / "samples.json").read_text())["samples"]
    assert first["face"]["bounding_box"] == pytest.approx(shares)
    assert "face" not in gone
    change(tmp_path / "t.json", "label-studio", 0, {"mask": "incorrect"})
    taken = invoke("label", "import", manifest, tmp_path / "t.json", "--who", "cat")
    assert taken["decisions"] == 1


@pytest.mark.parametrize("program", ["label-studio", "fiftyone"])
def test_labels_come_back_as_decisions(begun: Path, tmp_path: Path, program: str) -> None:
    given = export(begun, program, tmp_path / "given.json")
    change(given, program, 10, {"mask": "incorrect", "gender": "male"})
    result = invoke("label", "import", begun, given, "--as", program, "--who", "cat")
    assert result["decisions"] == 1  # what ann decided here comes back, and is no news
    assert invoke("label", "status", begun)["people"][0]["who"] == "ann"
    out = tmp_path / "fixed.csv"
    invoke("label", "export", begun, "--out", out)
    listed = pl.read_csv(out.with_name("fixed-corrections.csv"), infer_schema=False)
    name = Path(read_rows(begun)["photo"][11]).name  # of the 36 the eleventh: one was taken out
    rows = listed.filter(pl.col("id").str.ends_with(name))
    assert set(rows.select("field", "to", "who").iter_rows()) == {
        ("mask", "incorrect", "cat"), ("gender", "male", "cat")
    }  # fmt: skip


def test_what_changed_here_meanwhile_is_not_overwritten(begun: Path, tmp_path: Path) -> None:
    given = export(begun, "label-studio", tmp_path / "given.json")
    change(given, "label-studio", 3 - 1, {"mask": "wear"})  # the photo that ann decided about
    change(given, "label-studio", 10, {"mask": "incorrect"})
    store, _ = opened(begun, begun.with_name("manifest-labels.db"))
    with store:
        decide(store, "dan", [decision(4, "label", 1, mask="incorrect")])
    told = refused("label", "import", begun, given, "--who", "cat")
    assert "003.png: it was labelled otherwise here since it was exported" in told
    assert len(invoke("label", "status", begun)["people"]) == 2  # cat said nothing


def test_all_contradictions_are_named_with_their_photos(begun: Path, tmp_path: Path) -> None:
    given = export(begun, "label-studio", tmp_path / "given.json")
    tasks = json.loads(given.read_text())
    number = {"from_name": "age", "value": {"number": 22}}
    group = {"from_name": "age_group", "value": {"choices": ["old"]}}
    for place in (10, 11):
        tasks[place]["annotations"] = [{"result": [number, group]}]
    tasks.append(tasks[10])
    given.write_text(json.dumps(tasks))
    told = refused("label", "import", begun, given, "--who", "cat")
    assert "there are two opinions; leave one" in told
    given.write_text(json.dumps(tasks[:-1]))
    told = refused("label", "import", begun, given, "--who", "cat")
    assert told.count("age 22 is young, not old") == 2
    for place in (10, 11):
        assert Path(tasks[place]["data"]["id"]).name in told


def change(given: Path, program: str, place: int, labels: dict[str, str]) -> None:
    """Label a photo in the other program."""
    if program == "label-studio":
        tasks = json.loads(given.read_text())
        results: list[dict[str, Any]] = [
            {"from_name": name, "to_name": "image", "type": "choices", "value": {"choices": [word]}}
            for name, word in labels.items()
        ]
        cancelled = {"result": [], "was_cancelled": True}
        tasks[place]["annotations"] = [{"result": results, "completed_by": None}, cancelled]
        given.write_text(json.dumps(tasks))
        return
    content = json.loads((given / "samples.json").read_text())
    for name, word in labels.items():
        content["samples"][place][name]["label"] = word
    (given / "samples.json").write_text(json.dumps(content))


def test_what_cannot_be_taken_is_told_and_nothing_is(begun: Path, tmp_path: Path) -> None:
    file = tmp_path / "tasks.json"

    def said(tasks: object, *words: str) -> str:
        file.write_text(json.dumps(tasks))
        return refused("label", "import", begun, file, *words)

    def task(name: str, word: str, who: object = "bob") -> dict[str, object]:
        result = {"from_name": "mask", "value": {"choices": [word]}}
        made = {"result": [result], "completed_by": who}
        return {"data": {"image": name}, "annotations": [made]}

    known = "photos/005.png"
    assert "mask is 'worn'" in said([task(known, "worn")])
    assert "photos/x.png: no such photo" in said(
        [task("photos/x.png", "wear"), task(known, "wear")]
    )
    assert "does not say whose decision it is: --who" in said([task(known, "wear", None)])
    assert "is no export of label-studio" in said({"samples": []})
    file.write_text("{")
    assert "cannot read" in refused("label", "import", begun, file)
    status = invoke("label", "status", begun)
    assert [each["who"] for each in status["people"]] == ["ann"]
