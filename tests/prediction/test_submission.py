"""Submissions: in the order asked for, whole, scored and compared."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, f1_score
from typer.testing import CliRunner

from commands import invoke, refused
from conftest import TINY, write_set
from maskwise.cli import app
from maskwise.evaluation.tables import CLASS_COLUMNS, read_probabilities
from maskwise.models.decision import Decision
from maskwise.models.ensemble import save_decision
from maskwise.models.probabilities import Probabilities


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("run")
    manifest = write_set(place / "data", train=18, val=6)
    invoke("train", manifest, *TINY, f"cache.folder={place / 'cache'}", "train.epochs=1",
           "--out", place / "run")  # fmt: skip
    return place / "run"


@pytest.fixture
def asked(run: Path, tmp_path: Path) -> Path:
    """An evaluation folder of six photos, listed in another order than the alphabet's."""
    folder = tmp_path / "eval"
    (folder / "images").mkdir(parents=True)
    names = []
    for number, photo in enumerate(sorted((run.parent / "data" / "photos").iterdir())[:6]):
        names.append(f"{'fbdace'[number]}.png")
        shutil.copyfile(photo, folder / "images" / names[-1])
    (folder / "info.csv").write_text("ImageID,ans\n" + "".join(f"{name},0\n" for name in names))
    return folder


def test_a_submission_keeps_the_order_of_the_listing(
    run: Path, asked: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    invoke("submit", run, asked, "--out", out, "--device", "cpu")
    rows = pl.read_csv(out / "submission.csv")
    assert rows.columns == ["ImageID", "ans"]
    assert rows["ImageID"].to_list() == [f"{letter}.png" for letter in "fbdace"]
    predicted = tmp_path / "predicted.csv"
    CliRunner().invoke(app, ["predict", str(run), str(asked / "images"), "--out", str(predicted)])
    expected = dict(pl.read_csv(predicted).select("ImageID", "ans").iter_rows())
    assert dict(rows.iter_rows()) == expected
    shares = pl.read_csv(out / "probabilities.csv")
    assert shares["ImageID"].to_list() == rows["ImageID"].to_list()
    assert shares.select(CLASS_COLUMNS).to_numpy().argmax(axis=1).tolist() == rows["ans"].to_list()
    # and a file of probabilities, in any order, makes the same
    turned = tmp_path / "turned.csv"
    shares.reverse().write_csv(turned)
    invoke("submit", turned, asked / "info.csv", "--out", tmp_path / "again")
    again = tmp_path / "again"
    assert (again / "submission.csv").read_text() == (out / "submission.csv").read_text()
    same = pl.read_csv(again / "probabilities.csv")
    assert same["ImageID"].equals(shares["ImageID"])
    assert same["p0"].n_unique() == 6
    np.testing.assert_allclose(same["p0"], shares["p0"], atol=1e-6)


def test_answers_of_a_decision_stand_in_both_files(run: Path, asked: Path, tmp_path: Path) -> None:
    decided = shutil.copytree(run, tmp_path / "decided")
    likeliest = read_probabilities_of(decided, asked, tmp_path / "plain").joint.argmax(axis=1)
    factors = np.ones(18)
    factors[(likeliest[0] + 1) % 18] = 1e6
    save_decision(decided, Decision(factors=tuple(factors.tolist())))
    out = tmp_path / "out"
    invoke("submit", decided, asked, "--out", out, "--device", "cpu")
    rows, shares = (pl.read_csv(out / f"{name}.csv") for name in ("submission", "probabilities"))
    assert rows["ans"].to_list() == shares["ans"].to_list() != likeliest.tolist()
    invoke("submit", out / "probabilities.csv", asked, "--out", tmp_path / "again")
    again = pl.read_csv(tmp_path / "again" / "submission.csv")
    assert again.equals(rows)
    shares.with_columns(ans=pl.lit("18")).write_csv(out / "wrong.csv")
    assert "row 2: ans is no class" in refused("submit", out / "wrong.csv", asked, "--out", out)


def read_probabilities_of(model: Path, asked: Path, out: Path) -> Probabilities:
    invoke("submit", model, asked, "--out", out, "--device", "cpu")
    return read_probabilities(out / "probabilities.csv").probabilities


def test_a_submission_is_whole_or_not_at_all(run: Path, asked: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (asked / "images" / "a.png").write_bytes(b"no photo")
    assert "1 of 6 photos cannot be read" in refused("submit", run, asked, "--out", out)
    (asked / "images" / "a.png").unlink()
    message = refused("submit", run, asked, "--out", out)
    assert "1 of 6 photos are missing" in message
    assert "a.png" in message
    info = (asked / "info.csv").read_text()
    (asked / "info.csv").write_text(info + "f.png,0\n,0\n")
    message = refused("submit", run, asked, "--out", out)
    assert "f.png stands in 2 rows" in message
    assert "row 9: ImageID is empty" in message
    (asked / "info.csv").write_text("name\nf.png\n")
    assert "expected rows with a column ImageID" in refused("submit", run, asked, "--out", out)
    (asked / "info.csv").write_text(info)
    Image.new("RGB", (60, 60)).save(asked / "images" / "a.png")
    words = ["submit", run, asked, "--out", out, "--near-duplicates", tmp_path / "none.csv"]
    assert "none.csv" in refused(*words)
    assert not out.exists()


def test_ids_of_probabilities_are_checked(asked: Path, tmp_path: Path) -> None:
    table = tmp_path / "p.csv"
    rows = [[name, *["0"] * 17, "1"] for name in ("f.png", "b.png", "x.png", "y.png")]
    lines = [",".join(row) for row in [["ImageID", *CLASS_COLUMNS], *rows]]
    table.write_text("\n".join(lines) + "\n")
    message = refused("submit", table, asked, "--out", tmp_path / "out")
    assert "4 id(s) are missing, such as d.png, a.png" in message
    assert "2 id(s) are not asked for, such as x.png, y.png" in message


def test_near_duplicates_of_labelled_photos_take_their_labels(
    run: Path, asked: Path, tmp_path: Path
) -> None:
    """Photo d is a labelled one, compressed anew; f has the bytes of one without a class."""
    random = np.random.default_rng(5)
    folder = tmp_path / "labelled"
    folder.mkdir()
    pictures = {}
    for name in ("one", "two", "near"):
        coarse = Image.fromarray(random.integers(0, 255, (6, 6, 3), dtype=np.uint8))
        pictures[name] = coarse.resize((96, 96), Image.Resampling.BICUBIC)
        pictures[name].save(folder / f"{name}.png")
    pictures["near"].save(asked / "images" / "d.png", format="JPEG", quality=60)
    for name, darker in (("before", 4), ("later", 5)):  # near, too, but not the nearest
        pictures["near"].point(lambda value, by=darker: max(value - by, 0)).save(
            folder / f"{name}.png"
        )
    shutil.copyfile(asked / "images" / "d.png", folder / "boxed.png")
    pictures["two"].save(asked / "images" / "f.png")
    lines = ["photo,person,mask,gender,age,age_group,box,source,fold",
             "one.png,p1,wear,male,20,,,s,", "two.png,p2,wear,,20,,,s,",
             "before.png,p3,wear,female,70,,,s,", "near.png,p3,not_wear,female,70,,,s,",
             "later.png,p3,incorrect,female,70,,,s,",
             "boxed.png,p3,incorrect,male,70,,0 0 40 40,s,"]  # fmt: skip
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n")
    out = tmp_path / "out"
    result = invoke("submit", run, asked, "--out", out, "--near-duplicates", manifest)
    assert result["near_duplicates"] == 1
    plain, leak = (
        dict(pl.read_csv(out / f"submission{name}.csv").iter_rows()) for name in ("", ".leak")
    )
    assert leak["d.png"] == 17
    assert {**plain, "d.png": 17} == leak
    said = CliRunner().invoke(app, ["submit", str(run), str(asked), "--out", str(out),
                                    "--near-duplicates", str(manifest)])  # fmt: skip
    assert "were not given by the model" in said.output


def write(path: Path, answers: dict[str, object]) -> Path:
    path.write_text("ImageID,ans\n" + "".join(f"{k},{v}\n" for k, v in answers.items()))
    return path


def test_scores_equal_scikit_learn(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = random.integers(18, size=200)
    said = np.where(random.random(200) < 0.6, truth, random.integers(18, size=200))
    one = write(tmp_path / "gt.csv", {f"{row}.jpg": value for row, value in enumerate(truth)})
    order = random.permutation(200)
    two = write(tmp_path / "s.csv", {f"{row}.jpg": said[row] for row in order})
    result = invoke("score", one, two)
    assert result["photos"] == 200
    assert result["accuracy"] == pytest.approx(accuracy_score(truth, said))
    assert result["macro_f1"] == pytest.approx(f1_score(truth, said, average="macro"))
    gender = f1_score(truth // 3 % 2, said // 3 % 2, average="macro")
    assert result["tasks"]["gender"]["macro_f1"] == pytest.approx(gender)


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "gt.csv", {"a": 0, "b": 1})
    message = refused("score", one, write(tmp_path / "s.csv", {"a": 18, "b": "x", "c": -1}))
    assert "3 problem(s)" in message
    assert "row 2: ans '18' is no class from 0 to 17" in message
    message = refused("score", one, write(tmp_path / "s.csv", {"a": 1, "c": 2}))
    assert "1 id(s) are missing, such as b" in message
    assert "1 id(s) are not asked for, such as c" in message
    message = refused("score", one, write(tmp_path / "s.csv", {"a": "9" * 5000, "b": "٣"}))
    assert "2 problem(s)" in message
    (tmp_path / "t.csv").write_text("ImageID,ans\na,1,7,8\nb,1\n")
    assert "row 2: 2 cell(s) more than the header has" in refused("score", one, tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("id,class\na,1\n")
    assert "expected the columns ImageID and ans, found id, class" in refused(
        "diff", one, tmp_path / "t.csv"
    )


def test_a_diff_shows_where_two_part(tmp_path: Path) -> None:
    one = write(tmp_path / "a.csv", {"a": 0, "b": 0, "c": 17, "d": 5})
    two = write(tmp_path / "b.csv", {"d": 5, "c": 14, "b": 1, "a": 1})
    out = tmp_path / "diff.csv"
    result = invoke("diff", one, two, "--out", out)
    assert (result["photos"], result["different"]) == (4, 3)
    assert result["tasks"] == {"mask": 0, "gender": 1, "age_group": 2}
    assert result["moves"][0] == {
        "first": "wear, male, under 30", "second": "wear, male, 30 to 59", "photos": 2
    }  # fmt: skip
    assert out.read_text().splitlines() == ["ImageID,first,second", "a,0,1", "b,0,1", "c,17,14"]
    same = CliRunner().invoke(app, ["diff", str(one), str(one)])
    assert same.exit_code == 0
