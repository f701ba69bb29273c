"""Training with saved mattes: other backgrounds in training, none in validation."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from conftest import read_rows
from maskwise.cli import app
from maskwise.config import CacheSettings
from maskwise.data.cache import open_frames
from maskwise.data.frames import PhotoRef
from maskwise.data.framing import Framer
from maskwise.data.mattes import save_matte
from maskwise.storage import file_digest
from maskwise.training import step
from maskwise.transforms.preprocess import Preprocess


def train(manifest: Path, out: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["train", str(manifest), "--out", str(out), *words])


def save_mattes(manifest: Path, folder: Path) -> None:
    matte = np.zeros((40, 40), dtype=np.uint8)
    matte[10:, 10:30] = 255
    for photo in read_rows(manifest)["photo"]:
        digest = file_digest(manifest.parent / photo)
        save_matte(folder, digest, Image.fromarray(matte))


def test_mattes_change_training_photos_and_no_others(
    manifest: Path, tmp_path: Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_mattes(manifest, tmp_path / "mattes")
    channels: list[int] = []
    real = step.Augment.__call__

    def seen(augment: step.Augment, frames: object, draws: object) -> object:
        channels.append(frames.shape[-1])  # type: ignore[attr-defined]
        return real(augment, frames, draws)  # type: ignore[arg-type]

    monkeypatch.setattr(step.Augment, "__call__", seen)
    words = ["augment.background=1", f"augment.mattes={tmp_path / 'mattes'}", "train.epochs=1"]
    result = train(manifest, tmp_path / "with", *tiny, *words)
    assert result.exit_code == 0, result.output + repr(result.exception)
    assert "mattes for 37 of 37 photos" in result.stderr
    assert set(channels) == {4}
    assert (
        CliRunner().invoke(app, ["evaluate", str(tmp_path / "with"), str(manifest)]).exit_code == 0
    )
    channels.clear()
    train(manifest, tmp_path / "without", *tiny, words[1], "train.epochs=1")
    assert set(channels) == {3}


def test_mattes_are_cut_like_their_photos(manifest: Path, tmp_path: Path) -> None:
    save_mattes(manifest, tmp_path / "mattes")
    photo = str(manifest.parent / read_rows(manifest)["photo"][0])
    preprocess = Preprocess(
        height=16, width=16, margin=0, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    framer = Framer(preprocess, mattes=tmp_path / "mattes")
    cache = CacheSettings(folder=tmp_path / "cache", workers=0)
    refs = [PhotoRef(photo, (2.0, 2.0, 18.0, 18.0))]
    (frames,) = open_frames(refs, framer, cache).batches([np.array([0])])
    np.testing.assert_array_equal(frames[0, :, :, :3], Framer(preprocess).frame(*ref(refs)).pixels)
    expected = np.zeros((16, 16), dtype=np.uint8)
    expected[8:, 8:] = 255
    np.testing.assert_array_equal(frames[0, :, :, 3], expected)


def ref(refs: list[PhotoRef]) -> tuple[str, tuple[float, float, float, float] | None]:
    return refs[0].path, refs[0].box


def test_photos_without_a_matte_stay_whole(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "mattes").mkdir()
    preprocess = Preprocess(height=16, width=16, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    framer = Framer(preprocess, mattes=tmp_path / "mattes")
    photo = manifest.parent / read_rows(manifest)["photo"][0]
    for box in (None, (-30.0, -30.0, 20.0, 20.0)):  # outside the photo nothing is known either
        assert (framer.frame(photo, box).pixels[..., 3] == 255).all()
    turned = preprocess.frame(Image.new("L", (40, 40), 255), (25, 25, 45, 45), 30, outside=255)
    assert (turned == 255).all()
    assert framer.key != Framer(preprocess).key


def test_mattes_of_other_photos_are_refused(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    folder = tmp_path / "mattes"
    save_matte(folder, "0" * 64, Image.new("L", (40, 40)))
    words = ["augment.background=1", f"augment.mattes={folder}"]
    result = train(manifest, tmp_path / "run", *tiny, *words)
    assert "has no matte of any photo" in str(result.exception)
    result = train(manifest, tmp_path / "other", *tiny, words[0])
    assert "background needs mattes" in str(result.exception)
