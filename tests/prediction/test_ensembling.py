"""Ensembles: made from the command line, and used like one model."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score
from typer.testing import CliRunner

import maskwise
from commands import invoke, refused
from conftest import TINY, read_rows, write_set
from maskwise.cli import app
from maskwise.config import LabelSettings
from maskwise.data.manifest import photo_ids, read_manifest
from maskwise.data.targets import class_codes, task_codes
from maskwise.errors import RunError
from maskwise.evaluation.tables import CLASS_COLUMNS, read_probabilities, write_probabilities
from maskwise.models.ensemble import load_classifier
from maskwise.models.probabilities import Probabilities
from maskwise.prediction import ensembling
from maskwise.prediction.members import open_members


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of different frames and three networks of one task each, on the same people."""
    place = tmp_path_factory.mktemp("runs")
    manifest = write_set(place / "data", train=36, val=36)
    words = ["train", manifest, *TINY, f"cache.folder={place / 'cache'}", "train.epochs=6"]
    invoke(*words, "optim.lr=1e-2", "--out", place / "one")
    invoke(*words, "optim.lr=1e-2", "preprocess.height=40", "preprocess.width=40", "train.seed=1",
           "model.head=single", "--out", place / "other")  # fmt: skip
    for task in ("mask", "gender", "age_group"):
        invoke(*words, "train.epochs=1", f"model.tasks=[{task}]", "--out", place / task)
    return place


@pytest.fixture
def cached(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))


def probabilities(place: Path, model: Path) -> np.ndarray:
    """Return what `evaluate` says of the validation photos."""
    out = place / f"of-{model.name}"
    invoke("evaluate", model, place / "data" / "manifest.csv", "--out", out,
           "--set", f"cache.folder={place / 'cache'}")  # fmt: skip
    return pl.read_csv(out / "answers.csv").select(CLASS_COLUMNS).to_numpy()


@pytest.mark.usefixtures("cached")
def test_an_ensemble_answers_like_its_members_together(place: Path, tmp_path: Path) -> None:
    runs = [shutil.copytree(place / name, tmp_path / name) for name in ("one", "other")]
    out = tmp_path / "both"
    summary = invoke("ensemble", *runs, "--out", out, "--on", place / "data" / "manifest.csv",
                     "--weights", "2,1", "--device", "cpu")  # fmt: skip
    members = [probabilities(place, run) for run in runs]
    expected = (2 * members[0] + members[1]) / 3
    for run in runs:  # it keeps what it needs
        shutil.rmtree(run)
    np.testing.assert_allclose(probabilities(place, out), expected, atol=1e-5)
    assert summary["photos"] == 36
    assert summary["members"]["one"]["mask"] == pytest.approx(2 / 3, abs=1e-3)
    assert summary["best_member"] == max(entry["macro_f1"] for entry in summary["members"].values())
    scored = invoke("evaluate", out, place / "data" / "manifest.csv", "--out", tmp_path / "e")
    assert scored["classes"]["macro_f1"] == pytest.approx(summary["found"])
    assert (scored["fold"], scored["networks"]) == ("fold val", 2)
    (out / "members" / ".DS_Store").write_bytes(b"of a file manager")
    invoke("decide", out, "--on", place / "data" / "manifest.csv", "--rule", "joint")
    # so do the other ways to ask, and both frames are made of the photo
    photos = pl.read_csv(tmp_path / "e" / "answers.csv")["photo"].to_list()[:3]
    answers = maskwise.load(out, device="cpu").predict(photos)
    np.testing.assert_allclose([a.classes for a in answers], expected[:3], atol=1e-5)
    listed = tmp_path / "answers.csv"
    CliRunner().invoke(app, ["predict", str(out), *photos, "--out", str(listed)])
    assert pl.read_csv(listed)["ans"].to_list() == expected[:3].argmax(axis=1).tolist()
    # the oof file of an ensemble serves a later one
    table = read_probabilities(out / "oof.csv")
    np.testing.assert_allclose(table.probabilities.joint, expected, atol=1e-5)
    words = ["ensemble", out, place / "one", "--on", place / "data" / "manifest.csv", "--out"]
    known = invoke(*words, tmp_path / "later")["members"]["both"]["macro_f1"]
    assert known == pytest.approx(summary["crossed"])
    # another fold is answered by the model itself
    named = invoke(*words, tmp_path / "named", "--fold", "train")["members"]["both"]["macro_f1"]
    trained = invoke("evaluate", out, words[4], "--out", tmp_path / "t", "--fold", "train")
    assert named == pytest.approx(trained["classes"]["macro_f1"])
    assert named != pytest.approx(known)
    record = json.loads((out / "ensemble.json").read_text())
    weights = {task: [1, 1, 1] for task in record["vote"]["weights"]}
    for changed, message in (
        ({"vote": {**record["vote"], "weights": weights}}, "weights are not those of its members"),
        ({"format": 9}, "has format 9"),
        ({"members": []}, "members: "),
    ):
        (out / "ensemble.json").write_text(json.dumps({**record, **changed}))
        with pytest.raises(RunError, match=message):
            load_classifier(out)


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize(
    "words", [["--vote", "stack"], ["--weights", "greedy"], ["--weights", "loss"],
              ["--weights", "tasks"], ["--vote", "hard", "--weights", "greedy"]]
)  # fmt: skip
def test_votes_are_found_and_saved(place: Path, tmp_path: Path, words: list[str]) -> None:
    manifest = place / "data" / "manifest.csv"
    out = tmp_path / "e"
    summary = invoke("ensemble", place / "one", place / "other", "--out", out, "--on", manifest,
                     *words)  # fmt: skip
    saved = json.loads((out / "ensemble.json").read_text())["vote"]
    assert saved["how"] == (words[1] if words[0] == "--vote" else "soft")
    scored = invoke("evaluate", out, manifest, "--out", tmp_path / "s")
    assert scored["classes"]["macro_f1"] == pytest.approx(summary["found"], abs=1e-6)
    # its answers out of fold are those of votes that were found on other people
    frame = read_manifest(manifest)
    truth = dict(
        zip(photo_ids(frame), class_codes(task_codes(frame, LabelSettings())), strict=True)
    )
    table = read_probabilities(out / "oof.csv")
    known = [truth[name] for name in table.ids]
    answers = table.probabilities.joint.argmax(axis=1)
    wanted = f1_score(known, answers, average="macro", labels=np.unique(known))
    assert summary["crossed"] == pytest.approx(wanted)
    if saved["how"] == "stack":
        whole = read_probabilities(tmp_path / "s" / "answers.csv")
        assert set(whole.ids) == set(table.ids)
        rows = [whole.ids.index(name) for name in table.ids]
        off = whole.probabilities.joint[rows] - table.probabilities.joint
        assert (abs(off).max(axis=1) > 1e-6).all()
    assert "name their manifest with --on" in refused(
        "ensemble", place / "one", place / "other", "--out", tmp_path / "f", *words
    )
    assert not (tmp_path / "f").exists()


@pytest.mark.usefixtures("cached")
def test_networks_of_one_task_each_make_one_that_answers_all(place: Path, tmp_path: Path) -> None:
    tasks = [place / task for task in ("mask", "gender", "age_group")]
    words = ["ensemble", place / "mask", place / "one", "--out", tmp_path / "given"]
    given = invoke(*words, "--vote", "hard", "--weights", "2,1")["members"]
    assert given["mask"] == {"mask": pytest.approx(2 / 3, abs=1e-3), "gender": 0, "age_group": 0}
    assert given["one"] == {"mask": pytest.approx(1 / 3, abs=1e-3), "gender": 1, "age_group": 1}
    words[-1] = tmp_path / "nobody"
    assert "nobody with a weight answers gender and age_group" in refused(
        *words, "--weights", "1,0"
    )
    out = tmp_path / "all"
    summary = invoke("ensemble", *tasks, "--out", out)
    assert summary["members"]["gender"] == {"mask": 0.0, "gender": 1.0, "age_group": 0.0}
    joint = probabilities(place, out)
    cube = joint.reshape(-1, 3, 2, 3)
    alone = probabilities(place, tasks[1]).reshape(-1, 3, 2, 3)
    np.testing.assert_allclose(cube.sum(axis=(1, 3)), alone.sum(axis=(1, 3)), atol=1e-5)
    assert "nobody answers age_group" in refused("ensemble", *tasks[:2], "--out", tmp_path / "two")
    # an ensemble is a member like any other
    invoke("ensemble", out, place / "one", "--out", tmp_path / "nested")
    nested = probabilities(place, tmp_path / "nested")
    np.testing.assert_allclose(nested, (joint + probabilities(place, place / "one")) / 2, atol=1e-5)


@pytest.mark.usefixtures("cached")
def test_files_of_probabilities_vote(place: Path, tmp_path: Path) -> None:
    manifest = place / "data" / "manifest.csv"
    files = []
    for name in ("one", "other"):
        invoke("evaluate", place / name, manifest, "--out", tmp_path / name)
        files.append(tmp_path / name / "answers.csv")
    summary = invoke("ensemble", *files, "--out", tmp_path / "e", "--on", manifest)
    assert summary["photos"] == 36
    found = read_probabilities(tmp_path / "e" / "probabilities.csv")
    members = [read_probabilities(file).probabilities.joint for file in files]
    np.testing.assert_allclose(found.probabilities.joint, np.mean(members, axis=0), atol=1e-5)
    assert "not with models" in refused(
        "ensemble", files[0], place / "one", "--out", tmp_path / "f"
    )
    short = tmp_path / "short.csv"
    short.write_text("".join(files[0].read_text().splitlines(keepends=True)[:-2]))
    message = refused("ensemble", files[0], short, "--out", tmp_path / "f")
    assert "lacks 2 of them" in message
    message = refused("ensemble", files[0], short, "--out", tmp_path / "f", "--on", manifest)
    assert "lacks 2 of its 36" in message


def test_files_that_are_no_probabilities_are_refused_row_by_row(tmp_path: Path) -> None:
    good = ["a.jpg", *["0.0"] * 17, "1.0"]
    rows = [good, ["b.jpg", *["0.5"] * 18], ["c.jpg", "x", *["0.0"] * 16, "1.0"],
            ["a.jpg", "-1", *["0.0"] * 16, "2.0"]]  # fmt: skip
    text = "\n".join(",".join(row) for row in [["ImageID", *CLASS_COLUMNS], *rows])
    (tmp_path / "bad.csv").write_text(text + "\n")
    (tmp_path / "bad2.csv").write_text(text + "\n")
    message = refused("ensemble", tmp_path / "bad.csv", tmp_path / "bad2.csv",
                      "--out", tmp_path / "e")  # fmt: skip
    assert "1 id(s) stand in several rows, such as a.jpg" in message
    assert "row 3: the probabilities sum to 9, expected 1" in message
    assert "row 4: expected numbers from 0 to 1" in message
    assert "row 5: expected numbers from 0 to 1" in message
    (tmp_path / "other.csv").write_text("name,p0\na,1\n")
    message = refused(
        "ensemble", tmp_path / "other.csv", tmp_path / "bad.csv", "--out", tmp_path / "e"
    )
    assert "expected a column ImageID or photo" in message


def test_members_that_cannot_be_used_are_told_at_once(place: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(place / "one", tmp_path / "broken")
    (broken / "best" / "model.safetensors").write_bytes(b"no tensors")
    other = shutil.copytree(place / "one", tmp_path / "other")
    info = json.loads((other / "best" / "model.json").read_text())
    (other / "best" / "model.json").write_text(json.dumps({**info, "task_boundaries": [30, 58]}))
    message = refused("ensemble", broken, tmp_path / "none", "--out", tmp_path / "e")
    assert "2 member(s) cannot be used" in message
    assert "is damaged" in message
    assert "is no folder" in message
    message = refused("ensemble", place / "one", other, "--out", tmp_path / "e")
    assert "other answers ages with boundaries [30, 58]" in message
    assert "two members or more" in refused("ensemble", place / "one", "--out", tmp_path / "e")
    assert "named twice" in refused(
        "ensemble", place / "one", place / "one", "--out", tmp_path / "e"
    )
    for weights in ("1,2,3", "0,0", "x", "nan,1", "inf,1", "-1,2"):
        words = ["ensemble", place / "one", place / "other", "--out", tmp_path / "e"]
        assert "expected" in refused(*words, f"--weights={weights}")
    lost = [tmp_path / "a.csv", tmp_path / "b.csv"]
    message = refused("ensemble", *lost, "--out", tmp_path / "e")
    assert all(str(path) in message for path in lost)
    rows = read_rows(place / "data" / "manifest.csv").with_columns(fold=None)
    rows.write_csv(place / "data" / "unsplit.csv")
    assert "the manifest has no folds, so one may have been trained on its photos" in refused(
        *words, "--on", place / "data" / "unsplit.csv"
    )
    assert not (tmp_path / "e").exists()
    assert "is not empty" in refused(*words[:-1], place / "data")


def test_a_killed_ensemble_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joint = np.full((3, 18), 1 / 18)
    for name in ("a", "b"):
        found = Probabilities.of_joint(joint.astype(np.float32))
        write_probabilities(tmp_path / f"{name}.csv", ["x", "y", "z"], found)

    def make() -> None:
        members = open_members([tmp_path / "a.csv", tmp_path / "b.csv"])
        ensembling.make_ensemble(members, tmp_path / "both", ensembling.Wish("soft", "equal"), None)

    def killed(*_: object) -> None:
        assert not (tmp_path / "both").exists()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ensembling, "write_probabilities", killed)
        with pytest.raises(KeyboardInterrupt):
            make()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]
    left, begun = tmp_path / ".both.old.tmp", tmp_path / ".both.new.tmp"
    for folder in (left, begun):  # of processes that could not tidy up, or are at work
        folder.mkdir()
    os.utime(left, (0, 0))
    make()
    assert begun.exists()
    assert (tmp_path / "both" / "probabilities.csv").is_file()
    assert not left.exists()
