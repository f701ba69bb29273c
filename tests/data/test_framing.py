"""The face in the frame: the same pixels in training, evaluation and use, and how it is found."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

import maskwise
from conftest import TINY
from maskwise.cli import app, main
from maskwise.config import CacheSettings
from maskwise.data import detector_files
from maskwise.data.boxes import box_text
from maskwise.data.faces import Face, choose_face, open_detector, roll
from maskwise.data.frames import photo_refs
from maskwise.data.framing import Framer, face_of
from maskwise.data.manifest import manifest_from_rows, read_manifest, write_manifest
from maskwise.errors import DetectorError, MaskwiseError
from maskwise.evaluation import evaluate as evaluation
from maskwise.labels import MaskState
from maskwise.models.ensemble import load_classifier
from maskwise.models.inference import model_probabilities
from maskwise.models.network_classifier import NetworkClassifier
from maskwise.prediction.predictor import Predictor
from maskwise.training import prepare, step, validate
from maskwise.transforms.decode import decode_photo
from maskwise.transforms.preprocess import Preprocess
from people import labels, person, saved, scenery, tilted

Pixels = NDArray[np.uint8]
SETTINGS = [word for word in TINY if "detector" not in word]
FACELESS = (4, 8)
BOXED = (0, 5, 7)


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A user with an empty cache; the detectors opened are not kept for other tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several wait for each other where other tests run beside
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("home")))
        yield
    torch.set_num_threads(threads)
    open_detector.cache_clear()


def group() -> Image.Image:
    """Return a photo of two people: a large one in the middle, a small one beside."""
    photo = Image.new("RGB", (400, 256), "gray")
    photo.paste(person(3), (110, 0))
    photo.paste(person(2).resize((96, 128)), (0, 100))
    return photo


def pictures() -> list[Image.Image]:
    """Return ten photos; those of `FACELESS` show no face, some faces are tilted."""
    return [
        person(0), tilted(person(1), 20), person(2), group(), scenery(1),
        person(5, MaskState.WEAR), tilted(person(6), -15), tilted(person(7), 25), scenery(2),
        person(8, MaskState.INCORRECT),
    ]  # fmt: skip


class Seen:
    """The frames that the network saw in every way of using it, in the manifest's order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = folder / "manifest.csv"
        self.frames: dict[str, Pixels] = {}
        self.told: dict[str, str] = {}
        rows = []
        for number, picture in enumerate(pictures()):
            photo = saved(picture, folder / "photos" / f"{number}.jpg")
            row = {"photo": str(photo), **labels(number), "fold": "val" if number > 5 else "train"}
            row["mask"] = ("wear", "incorrect", "not_wear")[number % 3]
            if number in BOXED:
                face = choose_face(detect(photo), picture.size)
                assert face
                row["box"] = box_text(tuple(edge + 3.3 for edge in face.box))  # type: ignore[arg-type]
            rows.append(row)
        write_manifest(manifest_from_rows(rows), self.manifest)
        self.refs = photo_refs(read_manifest(self.manifest))

    @property
    def run(self) -> Path:
        return self.folder / "cached"

    def train(self, name: str, *words: str) -> None:
        """Train for an epoch; keep the frames of all rows, and those that training used."""
        used = np.zeros((len(self.refs), 32, 32, 3), np.uint8)
        forward, answer, make = step.Stepper._forward, model_probabilities, prepare.TrainingData

        def seen_forward(stepper: Any, rows: Any, frames: Any, *rest: Any) -> Any:
            used[rows] = frames.numpy()
            return forward(stepper, rows, frames, *rest)

        def seen_answer(model: Any, batches: Any, *rest: Any) -> Any:
            kept = [batch.numpy() for batch in batches]
            used[6:] = np.concatenate(kept)
            return answer(model, map(torch.from_numpy, kept), *rest)

        def seen_data(frames: Any, *rest: Any) -> Any:
            every = np.arange(len(frames))
            self.frames[f"{name} source"] = next(iter(frames.batches([every])))
            return make(frames, *rest)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(step.Stepper, "_forward", seen_forward)
            patch.setattr(validate, "model_probabilities", seen_answer)
            patch.setattr(prepare, "TrainingData", seen_data)
            out = self.folder / name
            result = invoke("train", self.manifest, *SETTINGS, *words, "--out", out)
        self.frames[f"{name} training"] = used
        self.told[name] = result.stderr

    def evaluate(self, **cache: Any) -> None:
        settings = CacheSettings(folder=self.folder / "other", workers=0, **cache)
        model = load_classifier(self.run)
        rows = read_manifest(self.manifest)
        self._answered(
            f"evaluation {cache}", lambda: evaluation.evaluate(model, rows, settings, samples=10)
        )

    def predict(self, name: str, ask: Callable[[Predictor], object]) -> None:
        self._answered(name, lambda: ask(Predictor.load(self.run, "cpu")))

    def _answered(self, name: str, ask: Callable[[], object]) -> None:
        """Keep the frames that the model is given."""
        kept: list[Pixels] = []
        answer = NetworkClassifier.answer

        def seen_answer(model: NetworkClassifier, frames: Any, *rest: Any) -> Any:
            kept.extend(frames.values())
            return answer(model, frames, *rest)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(NetworkClassifier, "answer", seen_answer)
            ask()
        self.frames[name] = np.concatenate(kept)


def detect(photo: Path | Image.Image) -> list[Face]:
    return open_detector("centerface").find(decode_photo(photo))


def invoke(*words: object, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, MaskwiseError):
        assert exit_code == 2, result.exception
    else:
        assert result.exit_code == exit_code, result.output + repr(result.exception)
    return result


@pytest.fixture(scope="module")
def seen(home: None, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Ten photos, a model trained on them with the faces turned upright, and the frames."""
    seen = Seen(tmp_path_factory.mktemp("framing"))
    words = ["preprocess.align=true", "train.epochs=1"]
    seen.train(
        "cached", "preprocess.detector=centerface", *words, f"cache.folder={seen.folder / 'c'}"
    )
    seen.train("streamed", "preprocess.detector=centerface", *words, "cache.limit_gb=0")
    seen.evaluate()
    seen.evaluate(limit_gb=0)
    paths = [ref.path for ref in seen.refs]
    seen.predict("files", lambda p: list(p.predict_files(seen.refs, paths, 0)))
    seen.predict("files, other process", lambda p: list(p.predict_files(seen.refs, paths, 1)))
    for name, ask in ASKED.items():
        seen.predict(name, lambda p, ask=ask: p.predict([ask(path) for path in paths]))  # type: ignore[misc]
        seen.predict(f"{name}, one", lambda p, ask=ask: [p.predict(ask(path)) for path in paths])  # type: ignore[misc]
    return seen


ASKED: dict[str, Callable[[str], Any]] = {
    "path": str,
    "Path": Path,
    "bytes": lambda path: Path(path).read_bytes(),
    "image": decode_photo,
    "array": lambda path: np.array(decode_photo(path)),
}
UNBOXED = [number for number in range(10) if number not in BOXED]


def test_frames_are_equal_to_the_pixel_in_every_use(seen: Seen) -> None:
    """The one promise of this module; boxes are told in manifests only."""
    expected = seen.frames.pop("cached source")
    assert expected.shape == (10, 32, 32, 3)
    assert len(seen.frames) == 7 + 2 * len(ASKED)
    for name, frames in seen.frames.items():
        rows = UNBOXED if name.split(",")[0] in ASKED else list(range(10))
        np.testing.assert_array_equal(frames[rows], expected[rows], err_msg=name)


def test_frames_show_the_face_that_was_found(seen: Seen) -> None:
    """Or all could be equal, and all be the photo's centre."""
    settings = next(iter(Predictor.load(seen.run, "cpu").framers.values())).preprocess
    plain = Preprocess(**{**settings.model_dump(), "detector": "none", "align": False})
    level = Preprocess(**{**settings.model_dump(), "align": False})
    for number, ref in enumerate(seen.refs):
        frame = seen.frames["files"][number]
        centre = Framer(plain).frame(ref.path).pixels
        assert (frame == centre).all() == (number in FACELESS)
        if number in FACELESS:
            continue
        face = face_of(detect(Path(ref.path)), decode_photo(ref.path).size, ref.box)
        assert face
        by_hand = settings.frame(ref.path, ref.box or face.box, roll(face))
        np.testing.assert_array_equal(frame, by_hand)
        assert (frame != Framer(level).frame(ref.path, ref.box).pixels).any()


def test_model_and_settings_name_the_detector(seen: Seen) -> None:
    info = json.loads((seen.run / "best" / "model.json").read_text())
    assert info["preprocess"]["detector"] == "centerface"
    assert info["preprocess"]["align"] is True
    assert yaml.safe_load((seen.run / "settings.yaml").read_text())["preprocess"]["detector"] == (
        "centerface"
    )


def test_missed_faces_are_counted(seen: Seen, tmp_path: Path) -> None:
    assert "no face in 2 of 10 photos: centre taken" in " ".join(seen.told["cached"].split())
    out = tmp_path / "p.csv"
    result = invoke("predict", seen.run, seen.folder / "photos", "--out", out, "--json")
    assert json.loads(result.stdout)["no_face"] == 2
    assert result.stderr.strip() == "no face found in 2 photos: centre taken"
    boxes = [line["face"] for line in read_csv(out)]
    assert [number for number, box in enumerate(boxes) if not box] == list(FACELESS)
    for cache in ("cache.limit_gb=0", f"cache.folder={tmp_path}"):
        words = ["--fold", "all", "--set", cache, "--set", "cache.workers=0", "--bootstrap", 10]
        result = invoke("evaluate", seen.run, seen.manifest, "--out", tmp_path, *words)
        assert json.loads((tmp_path / "evaluation.json").read_text())["no_face"] == 2
        assert "no face found in 2 photos" in result.stdout


def read_csv(path: Path) -> list[dict[str, str]]:
    import csv

    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_prediction_says_which_face_it_answers(seen: Seen) -> None:
    predictor = maskwise.load(str(seen.run), device="cpu")
    paths = [ref.path for ref in seen.refs]
    answers = list(predictor.predict_files(seen.refs, paths, 0))
    for number, (ref, answer) in enumerate(zip(seen.refs, answers, strict=True)):
        face = choose_face(detect(Path(ref.path)), decode_photo(ref.path).size)
        assert answer.face == (ref.box or (face.box if face else None))
        assert answer.no_face == (number in FACELESS)
    alone = predictor.predict(person(3))
    assert answers[3].face  # of the two people the large one in the middle
    assert alone.face
    np.testing.assert_allclose(np.subtract(answers[3].face, alone.face), (110, 0, 110, 0), atol=8)


def test_a_resumed_run_keeps_its_detector(seen: Seen) -> None:
    words = ["train", seen.manifest, "--out", seen.run, "--resume"]
    result = invoke(*words, "preprocess.detector=yunet", exit_code=2)
    assert "preprocess.detector was 'centerface', is 'yunet'" in str(result.exception)
    result = invoke(*words, "preprocess.align=false", exit_code=2)
    assert "preprocess.align was True, is False" in str(result.exception)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot read "), (b"0" * 1000, "is damaged, cut short or another")],
)
def test_model_without_its_detector_is_an_error_of_one_line(
    content: bytes | None,
    words: str,
    seen: Seen,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = shutil.copytree(seen.run / "best", tmp_path / "model")
    info = (model / "model.json").read_text()
    (model / "model.json").write_text(info.replace('"centerface"', '"yunet"'))
    (tmp_path / "holder").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    known = replace(detector_files._FILES["yunet"], package="holder", name="net.onnx")
    monkeypatch.setitem(detector_files._FILES, "yunet", known)
    if content:
        (tmp_path / "holder" / "net.onnx").write_bytes(content)
    open_detector.cache_clear()
    for photo in (seen.refs[1].path, [seen.refs[1].path] * 2):
        with pytest.raises(DetectorError, match=words):
            maskwise.load(str(model), device="cpu").predict(photo)
    out = tmp_path / "out.csv"
    begin = ["maskwise", "predict", str(model), seen.refs[1].path, "--out", str(out)]
    monkeypatch.setattr(sys, "argv", begin)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert ended.value.code == 2
    (line,) = told.err.strip().splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert not out.exists()
