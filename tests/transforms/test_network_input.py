"""What the network is given: values scaled by the set or by the photo, and a fourth channel."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from maskwise import load
from maskwise.cli import app
from maskwise.config import ModelSettings, PreprocessSettings
from maskwise.errors import SettingsError
from maskwise.models.backbone import build_backbone
from maskwise.models.network import FaceModel
from maskwise.models.weights import load_backbone_weights
from maskwise.transforms.network_input import input_channels, middle, network_input
from maskwise.transforms.preprocess import Preprocess

MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)


def preprocess(**values: object) -> Preprocess:
    settings = PreprocessSettings(height=32, width=32, detector="none", **values)  # type: ignore[arg-type]
    return Preprocess.from_settings(settings, MEAN, STD)


def photos() -> torch.Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_values_are_scaled_by_the_set() -> None:
    expected = (photos() - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    assert torch.allclose(network_input(photos(), preprocess()), expected, atol=1e-6)


def test_values_are_scaled_by_each_photo() -> None:
    given = photos()
    given[1] = 0.5 + 0.1 * given[1]
    given[2] = 0.25  # all alike: no deviation to divide by
    scaled = network_input(given.clone(), preprocess(scale="photo", extra="luma"))
    assert scaled.shape == (3, 4, 32, 32)
    assert torch.allclose(scaled[:2].mean((2, 3)), torch.zeros(2, 4), atol=1e-5)
    assert torch.allclose(scaled[:2].std((2, 3)), torch.ones(2, 4), atol=1e-4)
    assert torch.allclose(scaled[2], torch.zeros(4, 32, 32), atol=1e-4)


def test_the_fourth_channel_is_lightness_or_edges() -> None:
    given = torch.zeros(1, 3, 32, 32)
    given[:, :, :, 16:] = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1)
    luma = 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6
    mean, std = sum(MEAN) / 3, sum(STD) / 3
    light = network_input(given.clone(), preprocess(extra="luma"))[0, 3]
    assert float(light[5, 20]) == pytest.approx((luma - mean) / std, abs=1e-4)
    edges = network_input(given.clone(), preprocess(extra="edges"))[0, 3] * std + mean
    assert float(edges[5, 5]) == pytest.approx(0, abs=1e-2)
    assert float(edges[5, 15]) > 0.1
    assert input_channels(preprocess(extra="edges")) == 4


def test_the_middle_leaves_the_spare_out() -> None:
    frames = torch.arange(2 * 6 * 6 * 3).view(2, 6, 6, 3)
    assert torch.equal(middle(frames, 2), frames[:, 2:4, 2:4])
    assert middle(frames, 0) is frames


def test_a_fourth_channel_begins_with_weights_of_nothing() -> None:
    plain = build_backbone("test_efficientnet", (32, 32))
    wide = build_backbone("test_efficientnet", (32, 32), channels=4)
    load_backbone_weights(wide, plain.state_dict(), "another")
    given = photos()
    more = torch.cat([given, torch.rand(3, 1, 32, 32)], dim=1)
    assert torch.allclose(wide.eval()(more), plain.eval()(given), atol=1e-5)


def test_a_backbone_that_takes_colours_only_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(*_: object, **options: object) -> None:
        if "in_chans" in options:
            raise TypeError("got an unexpected keyword argument 'in_chans'")

    monkeypatch.setattr("maskwise.models.backbone.timm.create_model", create)
    with pytest.raises(SettingsError, match=r"preprocess\.extra: resnet18 takes colours only"):
        FaceModel(ModelSettings(backbone="resnet18"), (32, 32), channels=4)


def gradient_photo(width: int, height: int) -> Image.Image:
    pixels = np.full((height, width, 3), 90, np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)[None, :]
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    return Image.fromarray(pixels)


def test_native_frames_are_the_photos_own_pixels() -> None:
    photo = gradient_photo(90, 70)
    pixels = np.asarray(photo)
    frame = preprocess(fit="native").frame(photo)
    assert np.array_equal(frame, pixels[19:51, 29:61])
    boxed = preprocess(fit="native").frame(photo, (10.0, 20.0, 30.0, 50.0))
    assert np.array_equal(boxed, pixels[19:51, 4:36])
    spare = preprocess(fit="native", spare=5).frame(photo)
    assert spare.shape == (42, 42, 3)
    assert np.array_equal(spare[5:-5, 5:-5], frame)


@pytest.mark.parametrize("fit", ["cover", "contain"])
def test_the_middle_of_a_spare_frame_is_the_frame(fit: str) -> None:
    photo = gradient_photo(128, 96)
    for box in (None, (30.0, 20.0, 80.0, 70.0)):
        plain = preprocess(fit=fit).frame(photo, box)
        spare = preprocess(fit=fit, spare=8).frame(photo, box)
        assert spare.shape == (48, 48, 3)
        gap = np.abs(spare[8:-8, 8:-8].astype(int) - plain.astype(int))
        # beyond the photo's edge one is padded where the other ends
        assert gap[2:-2, 2:-2].max() <= 3


def test_a_fourth_channel_and_spare_pixels_train_and_answer(
    manifest: Path, tmp_path: Path, tiny: list[str]
) -> None:
    words = [*tiny, "preprocess.extra=edges", "preprocess.scale=photo", "preprocess.spare=4"]
    command = ["train", str(manifest), *words, "train.epochs=1", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, repr(result.exception)
    photo = str(next((manifest.parent / "photos").iterdir()))
    assert 0 <= load(tmp_path / "run", device="cpu").predict(photo).answer <= 17
