"""The public twin of the competition's data, built small."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from benchmarks.competition_twin import people as twin
from benchmarks.competition_twin.__main__ import main
from benchmarks.competition_twin.photos import window
from benchmarks.twin_score import twin_scores

from maskwise.data.layouts import PEOPLE_FILE
from maskwise.data.options import ImportOptions
from maskwise.data.sources import detect_layout, import_source
from maskwise.errors import ManifestError
from maskwise.transforms.decode import decode_photo
from people import person, saved

AGES = (16, 22, 25, 28, 29, 35, 45, 59, 60, 72)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn people, one photo each, twenty of them; one photo stands there twice."""
    data = tmp_path_factory.mktemp("faces")
    for number in range(2 * len(AGES)):
        gender = ("male", "female")[number % 2]
        saved(person(number), data / f"{number:05d}_{gender}_Asian_{AGES[number // 2]}.jpg")
    (data / "90000_male_Asian_22.jpg").write_bytes((data / "00002_male_Asian_22.jpg").read_bytes())
    return data


def test_the_command_shares_its_work_out_to_processes(data: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.competition_twin",
        data,
        "--out",
        tmp_path / "twin",
    ]
    words = ["--people", 20, "--workers", 1]
    subprocess.run(list(map(str, [*command, *words])), check=True)
    numbers = json.loads((tmp_path / "twin" / "twin.json").read_text())
    assert numbers["train"]["photos"] + numbers["eval"]["photos"] > 64  # fewer need no process


@pytest.fixture(scope="module")
def built(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "twin"
    main([str(data), "--out", str(out), "--people", "10", "--workers", "0"])
    return out


def train_and_eval(built: Path) -> Iterator[pl.DataFrame]:
    for part, layout in (("train", "competition"), ("eval", "answers")):
        assert detect_layout(built / part) == layout
        yield import_source(built / part, ImportOptions(part))


def test_the_twin_has_the_layout_and_size_of_the_competition(built: Path) -> None:
    train, evaluation = train_and_eval(built)
    numbers = json.loads((built / "twin.json").read_text())
    assert len(train) == numbers["train"]["photos"] == 7 * train["person"].n_unique()
    assert len(evaluation) == numbers["eval"]["photos"] > 0
    for frame in (train, evaluation):
        states = dict(frame.group_by("mask").len().iter_rows())
        assert states["wear"] == 5 * states["incorrect"] == 5 * states["not_wear"]
        assert {decode_photo(photo).size for photo in frame["photo"]} == {(384, 512)}
    names = {Path(photo).name for photo in train["photo"]}
    assert names == {*(f"mask{n}.jpg" for n in range(1, 6)), "incorrect_mask.jpg", "normal.jpg"}
    assert set(pl.read_csv(built / "eval" / "info.csv")["ans"]) == {0}
    assert numbers["chosen"] == 10
    assert not any(numbers["left_out"].values())


def test_ages_are_those_of_the_competition(built: Path) -> None:
    train, _ = train_and_eval(built)
    assert train["age"].min() >= 18
    assert train["age"].max() <= 60
    table = pl.read_csv(built / "train" / "train.csv")
    assert set(table["age"]) == set(train["age"].unique())


def test_nobody_trains_and_evaluates(built: Path) -> None:
    train, evaluation = train_and_eval(built)
    faces = [
        {decode_photo(photo).resize((24, 32)).tobytes() for photo in frame.filter(bare)["photo"]}
        for frame in (train, evaluation)
        for bare in [pl.col("mask") == "not_wear"]
    ]
    assert faces[0]
    assert faces[1]
    assert not faces[0] & faces[1]
    assert len(faces[0] | faces[1]) == 10  # each person once


def test_people_of_the_evaluation_are_known(data: Path, built: Path, tmp_path: Path) -> None:
    """So a model that was trained on some of them is scored on the others."""
    origins = pl.read_csv(built / "eval" / PEOPLE_FILE)
    truth = pl.read_csv(built / "eval" / "gt.csv")
    assert origins["ImageID"].to_list() == truth["ImageID"].to_list()
    assert origins["person"].n_unique() * 7 == len(origins)
    assert all((data / photo).is_file() for photo in origins["person"].unique())
    held_out = origins["person"][0]
    rows = [(f"elsewhere/{held_out}", "test"), *((name, "train") for name in origins["person"])]
    pl.DataFrame(rows, schema=["photo", "fold"], orient="row").write_csv(tmp_path / "test.csv")
    submission = truth.join(origins, on="ImageID").with_columns(
        ans=pl.when(pl.col("person") == held_out).then("ans").otherwise((pl.col("ans") + 1) % 18)
    )
    submission.select("ImageID", "ans").write_csv(tmp_path / "submission.csv")
    found = twin_scores(built, tmp_path / "submission.csv", tmp_path / "test.csv")
    assert found["people held out"] == {"photos": 7, "macro_f1": 1}
    assert found["all people"]["photos"] == len(truth)
    assert found["all people"]["macro_f1"] < 0.5
    with pytest.raises(ManifestError, match="nobody of"):
        twin_scores(built, tmp_path / "submission.csv", elsewhere(tmp_path))
    submission.select("ImageID", "ans")[1:].write_csv(tmp_path / "part.csv")
    with pytest.raises(ManifestError, match="each once"):
        twin_scores(built, tmp_path / "part.csv", None)


def elsewhere(folder: Path) -> Path:
    """Return a manifest of other people."""
    path = folder / "others.csv"
    path.write_text("photo,fold\nsomebody.jpg,test\n")
    return path


def test_people_follow_from_the_seed(data: Path) -> None:
    people = twin.choose_people(twin.adults(data), 10, seed=0)
    assert len({one.photo for one in people}) == len(people) == 10
    # the photo that stands there twice is one person
    assert len(twin.adults(data).filter(pl.col("photo").str.contains("0000(0|2)|90000"))) == 1
    assert {one.evaluates for one in people} == {True, False}
    assert twin.choose_people(twin.adults(data), 10, seed=0) == people
    assert twin.choose_people(twin.adults(data), 10, seed=1) != people


def test_sets_without_a_group_are_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = twin.adults(data)
    with pytest.raises(ManifestError, match="nobody is male old, nobody female old: the"):
        twin.choose_people(frame.filter(pl.col("age") < 60), 10, seed=0)
    with pytest.raises(SystemExit) as raised:
        main([str(data / "missing"), "--out", str(data / "out")])
    assert raised.value.code == 2
    assert "no folder or file" in capsys.readouterr().err


def test_proportions_hold_as_far_as_people_suffice() -> None:
    rows = [
        {"photo": f"/{gender}{age}-{n}.jpg", "person": f"{gender}{age}-{n}", "gender": gender,
         "age": age}
        for gender in ("male", "female")
        for age, count in ((20, 400), (45, 400), (70, 30))
        for n in range(count)
    ]  # fmt: skip
    people = twin.choose_people(pl.DataFrame(rows), 4500, seed=0)
    men = [one for one in people if one.gender == "male"]
    assert len(people) / len(men) == pytest.approx(2.6, rel=0.02)
    young, middle, old = (sum(low <= p.age < high for p in people)
                          for low, high in ((0, 30), (30, 60), (60, 99)))  # fmt: skip
    assert (young / old, middle / old) == pytest.approx((7, 6), rel=0.06)
    # 30 old women are 1 / 14 of 1.6 / 2.6 of all, but 400 young women are the scarcer half
    assert len(people) == pytest.approx(682, abs=3)
    evaluated = sum(one.evaluates for one in people) / len(people)
    assert evaluated == pytest.approx(0.4, abs=0.01)


def test_the_window_is_three_to_four_and_inside_the_photo() -> None:
    for size, eyes in (((200, 226), (100, 90)), ((200, 226), (5, 5)), ((100, 300), (50, 280))):
        left, top, right, bottom = window(size, eyes)
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
        assert (right - left) / (bottom - top) == pytest.approx(0.75, abs=0.01)


def test_a_stopped_run_goes_on(data: Path, built: Path) -> None:
    lost = next((built / "eval" / "images").iterdir())
    kept = next((built / "train" / "images").rglob("normal.jpg"))
    content, time = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    main([str(data), "--out", str(built), "--people", "10", "--workers", "0"])
    assert lost.read_bytes() == content
    assert kept.stat().st_mtime_ns == time
