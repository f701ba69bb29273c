"""Exports: one file that answers as the model does, and is refused where it would not."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image
from typer.testing import CliRunner

import maskwise
from commands import invoke, refused
from conftest import TINY, write_set
from maskwise.cli import app
from maskwise.config import CacheSettings
from maskwise.data.inputs import labelled_manifest
from maskwise.errors import RunError, SettingsError
from maskwise.evaluation.evaluate import answer_rows
from maskwise.export import export_model as exporting
from maskwise.export.check import Limits, check, compare
from maskwise.labels import TASKS
from maskwise.models.decision import Decision
from maskwise.models.ensemble import load_classifier, save_decision
from maskwise.models.loading import SHIPPED, open_classifier
from maskwise.models.onnx_classifier import OnnxClassifier
from maskwise.models.onnx_file import OnnxInfo, read_sealed
from maskwise.models.probabilities import Probabilities
from maskwise.models.views import Views


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs: heads with ages as years and an extra channel; one head, values by photo."""
    place = tmp_path_factory.mktemp("exported")
    manifest = write_set(place / "data", train=36, val=36)
    words = ["train", manifest, *TINY, f"cache.folder={place / 'cache'}", "train.epochs=4",
             "optim.lr=1e-2"]  # fmt: skip
    invoke(*words, "model.age=distribution", "preprocess.extra=edges", "preprocess.spare=2",
           "--out", place / "years")  # fmt: skip
    invoke(*words, "model.head=single", "preprocess.scale=photo", "preprocess.spare=2",
           "train.seed=1", "--out", place / "single")  # fmt: skip
    decision = Decision(temperatures={"mask": 0.7, "gender": 1.5, "age_group": 2.0},
                        factors=tuple(np.linspace(0.5, 2, 18)), unsure_below=0.3,
                        prior=tuple(np.linspace(2, 0.5, 18)))  # fmt: skip
    save_decision(place / "years", decision)
    return place


def answers(model: Any, place: Path) -> Any:
    frame = labelled_manifest(place / "data" / "manifest.csv")
    return answer_rows(model, frame, CacheSettings(folder=place / "cache", workers=0), "cpu")


def same(model: Path, file: Path, place: Path, atol: float = 2e-5) -> OnnxClassifier:
    ours, made = answers(load_classifier(model), place), OnnxClassifier.load(file)
    theirs = answers(made, place)
    np.testing.assert_allclose(theirs.probabilities.joint, ours.probabilities.joint, atol=atol)
    for task in TASKS:
        found = theirs.probabilities.tasks[task]
        np.testing.assert_allclose(found, ours.probabilities.tasks[task], atol=atol)
    np.testing.assert_allclose(theirs.probabilities.ages, ours.probabilities.ages, rtol=1e-3)
    if atol < 1e-3:
        np.testing.assert_array_equal(theirs.classes, ours.classes)
        np.testing.assert_array_equal(theirs.unsure, ours.unsure)
    return made


def export(model: Path, file: Path, place: Path, *words: object) -> dict[str, Any]:
    return invoke("export", model, "--out", file, "--set", f"cache.folder={place / 'cache'}",
                  "--on", place / "data" / "manifest.csv", *words)  # fmt: skip


@pytest.fixture(scope="module")
def made(place: Path) -> dict[str, Any]:
    """What was told of the first run's file."""
    return export(place / "years", place / "years.onnx", place)


def test_a_file_answers_as_its_model(place: Path, made: dict[str, Any]) -> None:
    file, told = place / "years.onnx", made
    assert told["precision"] == "fp32"
    assert told["checked_on"] == "manifest.csv, fold val"
    assert told["checked"]["photos"] == told["checked"]["labelled"] == 36
    assert told["checked"]["max_difference"] < 2e-5
    assert told["checked"]["macro_f1"] == told["checked"]["model_macro_f1"]
    assert told["bytes"] == file.stat().st_size
    info = same(place / "years", file, place).info
    model = load_classifier(place / "years")
    assert info.preprocess == next(iter(model.preprocesses.values()))
    assert (info.task_boundaries, info.mean_ages) == (model.boundaries, model.mean_ages)
    assert info.decision.factors == model.decision.factors
    assert info.decision.prior == ()
    assert info.checked["photos"] == 36
    assert info.labels["mask"] == ["wear", "incorrect", "not_wear"]
    assert "do not decide about a person" in info.note
    # whoever has no Maskwise finds all of it in the file
    session = onnxruntime.InferenceSession(file)
    found = session.get_modelmeta().custom_metadata_map
    assert json.loads(found["maskwise"])["preprocess"]["height"] == 32
    assert found["maskwise_sha256"] == told["sha256"]
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [
        ("frames", "tensor(uint8)", ["n", 36, 36, 3])
    ]
    assert [output.name for output in session.get_outputs()] == [*TASKS, "classes", "age"]
    content = file.read_bytes()
    assert str(place).encode() not in content
    assert b"site-packages" not in content


def test_a_file_says_nothing_of_the_machine_it_was_made_on(place: Path, tmp_path: Path) -> None:
    again, file = tmp_path / "again", tmp_path / "again.onnx"
    invoke("train", place / "data" / "manifest.csv", *TINY, f"cache.folder={place / 'cache'}",
           "preprocess.scale=photo", "preprocess.spare=2", "train.epochs=1",
           f"model.pretrained={place / 'single'}", "--out", again)  # fmt: skip
    invoke("export", again, "--out", file)
    content = file.read_bytes()
    assert b"single, SHA-256" in content
    assert str(place).encode() not in content
    assert str(tmp_path).encode() not in content


def test_every_vote_of_an_ensemble_is_in_the_file(place: Path, tmp_path: Path) -> None:
    members = [place / "years", place / "single"]
    manifest = place / "data" / "manifest.csv"
    shared = ["--on", manifest, "--device", "cpu"]
    for name, words in {
        "tasks": ["--weights", "tasks"],
        "hard": ["--vote", "hard"],
        "stack": ["--vote", "stack"],
    }.items():
        invoke("ensemble", *members, *shared, *words, "--out", tmp_path / name)
    invoke("ensemble", tmp_path / "stack", tmp_path / "tasks", *shared,
           "--out", tmp_path / "nested")  # fmt: skip
    for name, networks in (("hard", 2), ("nested", 4)):
        told = export(tmp_path / name, tmp_path / f"{name}.onnx", place)
        assert told["networks"] == networks
        same(tmp_path / name, tmp_path / f"{name}.onnx", place)


def layers(file: Path) -> int:
    return [node.op_type for node in onnx.load(file).graph.node].count("Conv")


def test_what_members_have_in_common_is_there_once(
    place: Path, made: dict[str, Any], tmp_path: Path
) -> None:
    first, more, both = place / "years", tmp_path / "more", tmp_path / "both"
    invoke("train", place / "data" / "manifest.csv", *TINY, f"cache.folder={place / 'cache'}",
           "preprocess.extra=edges", "preprocess.spare=2", f"model.pretrained={first}",
           "model.tasks=[gender,age_group]", "model.pooled_stages=2", "optim.frozen_stages=3",
           "optim.lr=1e-2", "train.epochs=1", "--out", more)  # fmt: skip
    invoke("ensemble", first, more, "--on", place / "data" / "manifest.csv", "--device", "cpu",
           "--out", both)  # fmt: skip
    told = export(both, tmp_path / "both.onnx", place)
    same(both, tmp_path / "both.onnx", place)
    twice = 2 * layers(place / "years.onnx") - layers(tmp_path / "both.onnx")
    edges, frozen = 1, 1 + 1 + 2  # layers of the first three stages
    assert twice == edges + frozen
    assert told["bytes"] < 1.9 * made["bytes"]


def test_small_files_are_near_enough(place: Path, made: dict[str, Any], tmp_path: Path) -> None:
    told = export(place / "years", tmp_path / "half.onnx", place, "--fp16")
    assert 0 < told["checked"]["max_difference"] < 0.1
    same(place / "years", tmp_path / "half.onnx", place, atol=0.1)
    assert told["bytes"] < 0.8 * made["bytes"]
    told = export(place / "years", tmp_path / "small.onnx", place, "--int8", "--max-loss", 1,
                  "--min-agreement", 0)  # fmt: skip
    assert told["precision"] == "int8"
    kinds = {node.op_type for node in onnx.load(tmp_path / "small.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert told["checked"]["mean_difference"] > 1e-5
    message = refused("export", place / "years", "--int8", "--out", tmp_path / "no.onnx")
    assert "name their manifest, --on" in message


def test_a_file_that_answers_otherwise_is_refused(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*parts: Any) -> Any:
        graph = join(*parts)
        for tensor in graph.graph.initializer:
            if tensor.name.endswith("heads.layers.mask.weight") or "mask" in tensor.name:
                values = onnx.numpy_helper.to_array(tensor)
                tensor.CopyFrom(onnx.numpy_helper.from_array(-values, tensor.name))
        return graph

    join = exporting.join
    monkeypatch.setattr(exporting, "join", wrong)
    out = tmp_path / "wrong.onnx"
    message = refused("export", place / "years", "--out", out, "--on",
                      place / "data" / "manifest.csv")  # fmt: skip
    assert "too unlike the model" in message
    assert not list(tmp_path.iterdir())


def test_a_limit_of_what_no_label_tells_is_refused(place: Path, tmp_path: Path) -> None:
    manifest = labelled_manifest(place / "data" / "manifest.csv")
    part = place / "data" / "without-masks.csv"
    manifest.with_columns(mask=None).write_csv(part)
    asked = ["export", place / "years", "--out", tmp_path / "a.onnx", "--on", part]
    message = refused(*asked, "--max-loss", 0.1)
    assert "no photo of without-masks.csv" in message
    assert "carries all three labels" in message
    assert not list(tmp_path.iterdir())


def test_each_limit_is_held() -> None:
    random = np.random.default_rng(0)
    joint = random.dirichlet(np.ones(18), 200)
    model = Probabilities.of_joint(joint)
    truth = joint.argmax(axis=1)
    other = Probabilities.of_joint(joint[:, ::-1])
    wide = Limits(difference=1, agreement=0, loss=1, years=1)
    check(compare(model, other, Decision(), truth), wide)
    for limits, message in (
        (replace(wide, difference=0.01), "probabilities differ by up to"),
        (replace(wide, agreement=0.9), "of the answers are the same; limit 0.9"),
        (replace(wide, loss=0.1), "macro-F1 falls from 1.0000 to"),
    ):
        with pytest.raises(RunError, match=message):
            check(compare(model, other, Decision(), truth), limits)
    found = compare(model, model, Decision(), np.full(200, -1))
    assert (found.agreement, found.macro_f1, found.labelled) == (1, None, 0)
    nothing = Probabilities(joint * np.nan, other.tasks, other.ages)
    with pytest.raises(RunError, match="differ by up to nan"):
        check(compare(model, nothing, Decision(), truth), wide)
    gone = {**other.tasks, "gender": other.tasks["gender"] * np.nan}
    with pytest.raises(RunError, match="differ by up to nan"):
        check(compare(model, Probabilities(joint, gone, other.ages), Decision(), truth), wide)
    aged, older = (replace(model, ages=np.full(200, age)) for age in (30.0, 31.5))
    with pytest.raises(RunError, match=r"ages differ by 1\.50 years in the mean; limit 1"):
        check(compare(aged, older, Decision(), truth), wide)


def test_a_mirrored_file_answers_as_two_views_do(place: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    members = [place / "years", place / "single"]
    invoke("ensemble", *members, "--on", place / "data" / "manifest.csv", "--device", "cpu",
           "--out", both)  # fmt: skip
    for model, networks in ((place / "years", 2), (both, 4)):
        file = tmp_path / "mirrored.onnx"
        export(model, file, place, "--mirror")
        frames = {"key": np.random.default_rng(0).integers(0, 256, (5, 36, 36, 3), np.uint8)}
        made, ours = OnnxClassifier.load(file), load_classifier(model)
        key = made.info.preprocess.frame_key
        found = made.decision.calibrated(made.answer({key: frames["key"]}, Views()))
        own = dict.fromkeys(ours.preprocesses, frames["key"])
        wanted = ours.decision.calibrated(ours.answer(own, Views.named("flip")))
        np.testing.assert_allclose(found.joint, wanted.joint, atol=2e-5)
        plain = ours.decision.calibrated(ours.answer(own, Views()))
        assert abs(found.joint - plain.joint).max() > 1e-4
        assert made.info.networks == networks
        assert made.info.about["looks"] == "each photo and its mirror image"


@pytest.mark.usefixtures("made")
def test_a_file_is_used_like_a_model(place: Path, tmp_path: Path) -> None:
    file, manifest = place / "years.onnx", place / "data" / "manifest.csv"
    photos = sorted((place / "data" / "photos").iterdir())[:5]
    own = maskwise.load(place / "years", "cpu").predict(photos)
    theirs = maskwise.load(file).predict(photos)
    assert [answer.answer for answer in theirs] == [answer.answer for answer in own]
    scored = invoke("evaluate", file, manifest, "--views", "flip")
    wanted = invoke("evaluate", place / "years", manifest, "--views", "flip",
                    "--out", tmp_path / "evaluation")  # fmt: skip
    assert scored["classes"]["macro_f1"] == pytest.approx(wanted["classes"]["macro_f1"])
    assert scored["report"] == str(place / "years-evaluation" / "report.html")
    message = refused("evaluate", file, manifest, "--views", "4")
    assert "an ONNX file takes --views 1 or flip" in message
    with pytest.raises(SettingsError, match="runs on auto, cpu or cuda"):
        maskwise.load(file, device="tpu")


@pytest.mark.usefixtures("made")
def test_nothing_of_torch_is_needed_for_a_file(place: Path) -> None:
    file = place / "years.onnx"
    photo = next((place / "data" / "photos").iterdir())
    code = (
        "import sys\n"
        "for name in ('torch', 'timm', 'kornia', 'accelerate', 'safetensors', 'sklearn', 'onnx'):\n"
        "    sys.modules[name] = None\n"
        "import maskwise\n"
        f"print(maskwise.load({str(file)!r}).predict({str(photo)!r}).mask)\n"
        "try:\n"
        f"    maskwise.load({str(place / 'years')!r})\n"
        "except maskwise.errors.RunError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    mask, message = done.stdout.splitlines()
    assert mask == maskwise.load(place / "years").predict(photo).mask
    assert "torch is not installed: pip install 'maskwise[train]'" in message


@pytest.mark.usefixtures("made")
def test_damaged_and_foreign_files_are_refused(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    content = (place / "years.onnx").read_bytes()
    for number in (len(content) // 2, len(content) - 40):
        changed = bytearray(content)
        changed[number] ^= 1
        file.write_bytes(changed)
        with pytest.raises(RunError, match=r"damaged or altered|is no ONNX file of maskwise"):
            maskwise.load(file)
    file.write_bytes(content[:1000])
    with pytest.raises(RunError, match="is no ONNX file of maskwise export"):
        maskwise.load(file)
    with pytest.raises(RunError, match="there is no model"):
        maskwise.load(tmp_path / "none.onnx")
    file.write_bytes(content)
    read, seal = read_sealed(file)
    assert (read, len(seal)) == (content, 64)
    graph = onnx.load(file)
    for prop in graph.metadata_props:
        if prop.key == "maskwise":
            prop.value = json.dumps({**json.loads(prop.value), "format": 2})
    with pytest.raises(RunError, match=r"not of this Maskwise .*\n.*format"):
        OnnxClassifier(graph.SerializeToString(), file)


def test_members_of_other_frames_make_no_file(place: Path, tmp_path: Path) -> None:
    words = ["train", place / "data" / "manifest.csv", *TINY, "train.epochs=1",
             f"cache.folder={place / 'cache'}"]  # fmt: skip
    invoke(*words, "--out", tmp_path / "other")
    invoke("ensemble", tmp_path / "other", place / "single", "--out", tmp_path / "both")
    message = refused("export", tmp_path / "both", "--out", tmp_path / "both.onnx")
    assert "take 2; ensemble members of one crop" in message
    assert "--int8 and --fp16: name one" in refused("export", place / "single", "--int8", "--fp16")
    assert "ends in .onnx" in refused("export", place / "single", "--out", tmp_path / "m.pt")


def test_drawn_people_check_a_file_where_no_photos_are_named(place: Path, tmp_path: Path) -> None:
    told = invoke("export", place / "single", "--out", tmp_path / "model.onnx",
                  "--set", f"cache.folder={tmp_path / 'cache'}")  # fmt: skip
    assert told["checked_on"] == "42 photos of drawn people"
    assert told["checked"]["agreement"] == 1
    info = open_classifier(tmp_path / "model.onnx").info  # type: ignore[attr-defined]
    assert isinstance(info, OnnxInfo)
    photo = tmp_path / "photo.png"
    Image.new("RGB", (50, 60), (90, 80, 70)).save(photo)
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "model.onnx"), str(photo)])
    assert result.exit_code == 0
    assert "photo.png" in result.stdout


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_openvino_reads_the_file(
    precision: str, place: Path, made: dict[str, Any], tmp_path: Path
) -> None:
    openvino = pytest.importorskip("openvino")
    file = place / "years.onnx" if precision == "fp32" else SHIPPED
    classifier = OnnxClassifier.load(file)
    (preprocess,) = classifier.preprocesses.values()
    width, height = preprocess.frame_size
    frames = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), np.uint8)
    ours = classifier.answer({preprocess.frame_key: frames}, Views())
    options = {"INFERENCE_PRECISION_HINT": "f32"}  # else it computes in 16 bits where it can
    model = openvino.Core().read_model(file)
    theirs = openvino.compile_model(model, "CPU", options)({"frames": frames})
    for task in TASKS:
        atol = 1e-4 if precision == "fp32" else 0.1  # other kernels round otherwise
        np.testing.assert_allclose(theirs[task], ours.tasks[task], atol=atol)
