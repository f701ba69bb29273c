"""The script that makes the model that comes along, run small."""

import json
from pathlib import Path

import polars as pl
import pytest
from benchmarks.shipped import __main__ as script
from benchmarks.shipped.file_weights import WEIGHTS
from typer.testing import CliRunner

from maskwise.cli import app
from maskwise.labels import MaskState
from maskwise.models.onnx_classifier import OnnxClassifier
from people import person, saved

SMALL = (
    "train.epochs=1", "train.epoch_photos=32", "train.batch_size=16", "train.amp=no",
    "train.compile=false", "preprocess.height=64", "preprocess.width=64", "cache.workers=0",
    "optim.lr=1e-6", "train.device=cpu",
)  # fmt: skip


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Drawn people in the three folders that the script expects."""
    data = tmp_path / "data"
    for number in range(16):
        name = f"{22 + 3 * number}_{number % 2}_2_20170112{number:09d}.jpg.chip.jpg"
        saved(person(number), data / "utkface" / name)
    for number, decade in enumerate(("20F", "20M", "30F", "30M", "40F", "40M")):
        saved(person(30 + number), data / "asian_decades" / decade / f"{number}-0.jpg")
    for number in range(24):
        state = list(MaskState)[number % 3]
        name = f"ilc-{number:012x}-0.jpg"
        saved(person(50 + number, state), data / "mask_photos" / str(state) / name)
    return data


def test_the_file_in_the_package_is_trained_on(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def here(*words: object) -> None:
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.output + repr(result.exception)

    monkeypatch.setattr(script, "maskwise", here)  # a process each would take minutes
    out = tmp_path / "out"
    words = [str(photos), "none.json", "--out", str(out), "--from-file", *SMALL]
    script.main(words)
    assert "| bare faces |" in capsys.readouterr().out
    frame = pl.read_csv(out / "all.csv", infer_schema=False)
    assert set(frame["fold"]) == {"train", "val", "test"}
    assert frame.group_by("person").agg(pl.col("fold").n_unique())["fold"].max() == 1
    assert len(frame) > 60
    file = OnnxClassifier.load(out / "maskwise.onnx")
    assert file.info.precision == "int8"
    assert file.info.preprocess.frame_size == (64, 64)
    assert set(json.loads((out / "figures.json").read_text())) >= {"bare faces", "drawn masks"}
    made = {path: path.stat().st_mtime_ns for path in (out / "all.csv", out / "packaged" / WEIGHTS)}
    script.make_manifest(photos, out)  # what is there is not made again
    script.packaged(out / "all.csv", out)
    assert made == {path: path.stat().st_mtime_ns for path in made}


def test_from_the_start_there_are_two_trainings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(script, "maskwise", lambda *words: ran.append([*map(str, words)]))
    monkeypatch.setattr(script, "make_face_weights", lambda *_: None)
    monkeypatch.setattr(script, "figures", lambda *_: {})
    (tmp_path / "all.csv").write_text("photo,source,mask\na.jpg,mask_photos,incorrect\n"
                                      "b.jpg,utkface,not_wear\nc.jpg,utkface,wear\n")  # fmt: skip
    script.main(["data", "graph.json", "--out", str(tmp_path), "train.amp=no"])
    runs = {Path(words[words.index("--out") + 1]).name: words for words in ran[:2]}
    assert list(runs) == ["first", "second"]
    assert f"model.pretrained={tmp_path / 'faces.safetensors'}" in runs["first"]
    assert f"model.pretrained={tmp_path / 'first' / 'last'}" in runs["second"]
    assert all("train.amp=no" in words for words in runs.values())
    assert [words[0] for words in ran[2:]] == ["decide", "export", "evaluate"]
    sources = [pl.read_csv(words[1])["source"].to_list() for words in runs.values()]
    assert sources == [
        ["mask_photos", "utkface", "utkface"],
        ["mask_photos_incorrect", "utkface", "utkface"],
    ]
