"""One trained model, asked in every way, gives the same answers."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import maskwise
from conftest import TINY, write_set
from maskwise.cli import app
from maskwise.errors import MaskwiseError, PhotoError, RunError
from maskwise.labels import TASKS


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run folder and its manifest, trained for three epochs."""
    folder = tmp_path_factory.mktemp("trained")
    manifest = write_set(folder / "data", train=36, val=18)
    settings = [*TINY, f"cache.folder={folder / 'cache'}", "train.epochs=3", "optim.lr=5e-3"]
    invoke("train", manifest, *settings, "--out", folder / "run")
    return folder / "run", manifest


def invoke(*words: object, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, MaskwiseError):
        assert exit_code == 2, result.exception
    else:
        assert result.exit_code == exit_code, result.output + repr(result.exception)
    return result


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def photos_of(manifest: Path) -> list[str]:
    return sorted(str(path) for path in (manifest.parent / "photos").iterdir())


def test_paths_bytes_images_and_arrays_give_one_answer(trained: tuple[Path, Path]) -> None:
    run, manifest = trained
    predictor = maskwise.load(str(run), device="cpu")
    path = photos_of(manifest)[3]
    image = Image.open(path).convert("RGB")
    answers = [
        predictor.predict(path),
        predictor.predict(Path(path)),
        predictor.predict(Path(path).read_bytes()),
        predictor.predict(image),
        predictor.predict(np.array(image)),
        predictor.predict(np.array(image, dtype=np.float64) / 255),
        predictor.predict([path, path])[1],
    ]
    for answer in answers:
        assert answer.probabilities is not None
        for task, expected in (answers[0].probabilities or {}).items():
            assert answer.probabilities[task] == pytest.approx(expected, abs=1e-6)
        assert answer.answer == answers[0].answer
    first = answers[0]
    assert 0 <= first.answer <= 17
    assert first.answer == (
        TASKS["mask"].index(first.mask) * 6
        + TASKS["gender"].index(first.gender) * 3
        + TASKS["age_group"].index(first.age_group)
    )
    assert first.probabilities is not None
    for task, words in TASKS.items():
        assert list(first.probabilities[task]) == list(words)
        assert sum(first.probabilities[task].values()) == pytest.approx(1, abs=1e-5)


def test_list_answers_around_a_broken_photo_and_single_raises(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    run, manifest = trained
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    predictor = maskwise.load(str(run), device="cpu")
    good = photos_of(manifest)[0]
    answers = predictor.predict([good, str(broken), good])
    assert [bool(answer.error) for answer in answers] == [False, True, False]
    assert str(broken) in answers[1].error
    with pytest.raises(PhotoError, match="not an image"):
        predictor.predict(str(broken))
    assert predictor.predict([]) == []


def test_any_row_of_photos_is_answered_and_what_is_none_is_told(
    trained: tuple[Path, Path],
) -> None:
    run, manifest = trained
    model = maskwise.load(str(run), device="cpu")
    paths = photos_of(manifest)[:3]
    expected = [answer.answer for answer in model.predict(paths)]
    content = [bytearray(Path(path).read_bytes()) for path in paths]
    assert [answer.answer for answer in model.predict(iter(content))] == expected
    assert model.predict(content[0]).answer == expected[0]
    # what cv2.imread gives for a file that it cannot read
    good, bad = model.predict([paths[0], None])  # type: ignore[list-item]
    assert good.answer == expected[0]
    assert "Pillow image or an array, got NoneType" in bad.error
    with pytest.raises(PhotoError, match="got NoneType"):
        model.predict(None)  # type: ignore[call-overload]


def test_many_files_are_answered_as_they_come(trained: tuple[Path, Path], tmp_path: Path) -> None:
    run, manifest = trained
    model = maskwise.load(str(run), device="cpu")
    paths = (photos_of(manifest) * 4)[:140]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"nonsense")
    answers = model.predict_many([*paths, broken], workers=2)
    first = next(answers)  # before the others are decoded
    assert first.answer == model.predict(paths[0]).answer
    rest = list(answers)
    assert [answer.photo for answer in rest] == [*map(str, paths[1:]), str(broken)]
    assert "not an image" in rest[-1].error
    assert all(answer.answer >= 0 for answer in rest[:-1])


def test_predict_writes_a_row_per_photo_and_tells_of_errors(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    run, manifest = trained
    out = tmp_path / "predictions.csv"
    invoke("predict", run, manifest.parent / "photos", "--out", out)
    rows = read_csv(out)
    assert list(rows[0])[:5] == ["ImageID", "ans", "mask", "gender", "age_group"]
    assert [row["ImageID"] for row in rows] == [Path(path).name for path in photos_of(manifest)]
    one = maskwise.load(str(run), device="cpu").predict(photos_of(manifest)[5])
    assert int(rows[5]["ans"]) == one.answer
    broken = tmp_path / "zero.jpg"
    broken.write_bytes(b"")
    result = invoke("predict", run, broken, photos_of(manifest)[0], "--out", out, exit_code=2)
    rows = read_csv(out)
    assert (rows[0]["ans"], rows[0]["error"]) == ("", f"{broken}: the file is empty")
    assert rows[1]["ans"]
    assert "1 of 2 photos could not be read" in result.stderr


def test_predict_from_ids_keeps_their_order(trained: tuple[Path, Path], tmp_path: Path) -> None:
    run, manifest = trained
    names = [Path(path).name for path in photos_of(manifest)][:6][::-1]
    listing = tmp_path / "info.csv"
    listing.write_text("ImageID,ans\n" + "".join(f"{name},0\n" for name in names))
    result = invoke("predict", run, listing, "--photos", manifest.parent / "photos", "--json")
    assert [row["ImageID"] for row in json.loads(result.stdout)] == names


def test_evaluate_counts_every_photo_once_and_agrees_with_predict(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    run, manifest = trained
    out = tmp_path / "evaluation"
    cache = f"cache.folder={tmp_path / 'cache'}"
    result = json.loads(
        invoke("evaluate", run, manifest, "--out", out, "--set", cache, "--json").stdout
    )
    assert result["fold"] == "fold val"
    assert result["photos"] == result["classes"]["photos"] == 18
    assert sum(map(sum, result["classes"]["confusion"])) == 18
    last = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    best = max(last, key=lambda line: line["score"])
    assert result["classes"]["macro_f1"] == pytest.approx(best["macro_f1"])
    low, high = result["classes"]["macro_f1_interval"]
    assert low <= result["classes"]["macro_f1"] <= high
    assert result["age"]["photos"] == 18
    assert result["age"]["mean_absolute_error"] > 0
    answers = pl.read_csv(out / "answers.csv")
    by_photo = dict(zip(answers["photo"], answers["ans"], strict=True))
    predictor = maskwise.load(str(run), device="cpu")
    for photo, answer in by_photo.items():
        assert predictor.predict(photo).answer == answer
    everything = json.loads(
        invoke("evaluate", run, manifest, "--fold", "all", "--out", out, "--json").stdout
    )
    assert everything["photos"] == 54
    page = (out / "report.html").read_text()
    assert "data:image/jpeg" in page or "None." in page
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl", "").replace(
        "http://creativecommons", ""
    ).replace("https://matplotlib", "")


def test_sm_variables_stand_in(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, manifest = trained
    monkeypatch.setenv("SM_CHANNEL_MODEL", str(run))
    monkeypatch.setenv("SM_CHANNEL_EVAL", str(manifest.parent / "photos"))
    monkeypatch.setenv("SM_OUTPUT_DATA_DIR", str(tmp_path / "out"))
    monkeypatch.setenv("SM_GROUND_TRUTH_DIR", str(manifest.parent))
    invoke("predict")
    assert (tmp_path / "out" / "predictions.csv").is_file()
    invoke("evaluate")
    assert (tmp_path / "out" / "report.html").is_file()
    monkeypatch.setenv("SM_CHANNEL_TRAIN", str(manifest))
    monkeypatch.setenv("SM_MODEL_DIR", str(tmp_path / "model"))
    invoke("train", *TINY, f"cache.folder={tmp_path / 'cache'}", "train.epochs=1")
    assert (tmp_path / "model" / "best" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda best: (best / "model.json").write_text("{"), "damaged"),
        (lambda best: (best / "model.json").write_text('{"format": 99}'), "format 99"),
        (lambda best: (best / "model.json").write_text('{"format": 1}'), "Field required"),
        (lambda best: (best / "model.safetensors").write_bytes(b"short"), "is damaged"),
        (lambda best: (best / "model.safetensors").unlink(), "no finished model"),
    ],
)
def test_damaged_model_folders_are_named(
    trained: tuple[Path, Path], tmp_path: Path, damage: object, message: str
) -> None:
    best = tmp_path / "best"
    best.mkdir()
    for path in (trained[0] / "best").iterdir():
        (best / path.name).write_bytes(path.read_bytes())
    damage(best)  # type: ignore[operator]
    with pytest.raises(RunError, match=message):
        maskwise.load(str(best))


def test_missing_run_and_photos_are_named(trained: tuple[Path, Path], tmp_path: Path) -> None:
    photo = photos_of(trained[1])[0]
    result = invoke("predict", tmp_path / "nothing", photo, exit_code=2)
    assert "nothing: there is no such model, and no such photo" in str(result.exception)
    result = invoke("predict", trained[0], tmp_path / "none*.jpg", exit_code=2)
    assert "no photo there" in str(result.exception)


def test_a_damaged_history_is_named_before_anything_is_written(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    (run / "metrics.jsonl").write_text('{"epoch": 1')
    result = invoke("evaluate", run, trained[1], "--out", tmp_path / "out", exit_code=2)
    assert "metrics.jsonl is damaged" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_only_cache_settings_act_in_an_evaluation(trained: tuple[Path, Path]) -> None:
    result = invoke("evaluate", *trained, "--set", "train.epochs=7", exit_code=2)
    assert "only settings of the cache" in str(result.exception)


def test_an_output_below_a_file_is_refused(trained: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / "predictions.csv"
    result = invoke("predict", trained[0], photos_of(trained[1])[0], "--out", out, exit_code=2)
    assert f"cannot write {out}" in str(result.exception)


def test_a_manifest_is_answered_face_by_face(trained: tuple[Path, Path], tmp_path: Path) -> None:
    run, manifest = trained
    photo = photos_of(manifest)[0]
    rows = [f"{photo},p,,,,,{box},s," for box in ("0 0 20 20", "18 18 40 40")]
    listing = tmp_path / "faces.csv"
    header = "photo,person,mask,gender,age,age_group,box,source,fold"
    listing.write_text("\n".join([header, *rows]) + "\n")
    answers = json.loads(invoke("predict", run, listing, "--json").stdout)
    assert [row["ImageID"] for row in answers] == [
        f"{photo} [0 0 20 20]",
        f"{photo} [18 18 40 40]",
    ]
    assert answers[0]["p_wear"] != answers[1]["p_wear"]


def test_equal_names_in_two_folders_are_told_apart(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(photos_of(trained[1])[0], tmp_path / folder / "x.png")
    found = invoke("predict", trained[0], tmp_path / "a", tmp_path / "b", "--json").stdout
    names = [row["ImageID"] for row in json.loads(found)]
    assert names == [str(tmp_path / "a" / "x.png"), str(tmp_path / "b" / "x.png")]
    problems = invoke("predict", trained[0], tmp_path / "c", tmp_path / "d", exit_code=2)
    assert "2 problem(s)" in str(problems.exception)
