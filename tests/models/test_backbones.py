"""Every backbone that the recipes may name trains, from random weights."""

import shutil
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from maskwise.config import ModelSettings, OptimSettings
from maskwise.errors import SettingsError
from maskwise.models.backbone import build_backbone, check_compiler, recompute_activations
from maskwise.models.network import FaceModel
from maskwise.training.optim import build_optimizer

BACKBONES = {
    "resnet18": 32,
    "resnet50": 32,
    "resnet152": 32,
    "efficientnet_b0": 32,
    "efficientnet_b3": 32,
    "efficientnet_b4": 32,
    "efficientnet_b2_pruned": 32,
    "seresnext26d_32x4d": 32,
    "seresnext50_32x4d": 32,
    "eca_nfnet_l0": 32,
    "resnest200e": 32,
    "inception_v3": 80,
    "vit_base_patch16_224": 32,
    "deit_base_patch16_384": 32,
    "swin_tiny_patch4_window7_224": 56,
    "convnext_tiny": 32,
    "tiny_vit_21m_224": 56,
    "mobilenetv4_conv_small": 32,
    "tf_efficientnet_lite0": 32,
}
"""Backbone -> pixels of a side at which two steps are quick."""


@pytest.mark.parametrize(("name", "size"), BACKBONES.items())
def test_backbones_train_for_two_steps(name: str, size: int) -> None:
    torch.manual_seed(0)
    model = FaceModel(ModelSettings(backbone=name, pretrained="none"), (size, size)).train()
    optimizer = build_optimizer(model, OptimSettings(layer_decay=0.9, frozen_stages=1))
    before = {key: value.clone() for key, value in model.named_parameters()}
    photos, truth = torch.rand(4, 3, size, size), torch.tensor([0, 1, 2, 0])
    for _ in range(2):
        optimizer.zero_grad()
        loss = cross_entropy(model(photos)["age_group"], truth)
        loss.backward()
        optimizer.step()
    assert torch.isfinite(loss)
    moved = [key for key, value in model.named_parameters() if not torch.equal(value, before[key])]
    frozen = [key for key, value in model.named_parameters() if not value.requires_grad]
    assert frozen
    assert not set(frozen) & set(moved)
    assert len(moved) > 0.8 * (len(before) - len(frozen)) - 6  # heads without this loss stay


def test_activations_computed_again_give_the_same_gradients() -> None:
    torch.manual_seed(0)
    plain = build_backbone("test_vit", (32, 32))
    again = build_backbone("test_vit", (32, 32))
    again.load_state_dict(plain.state_dict())
    recompute_activations(again)
    photos = torch.rand(2, 3, 32, 32)
    for backbone in (plain, again):
        backbone(photos).pow(2).sum().backward()
    for one, other in zip(plain.parameters(), again.parameters(), strict=True):
        assert one.grad is not None
        assert torch.allclose(one.grad, other.grad, atol=1e-5)  # type: ignore[arg-type]
    assert getattr(again, "grad_checkpointing", False)


def test_statistics_move_once_when_activations_are_computed_again() -> None:
    torch.manual_seed(0)
    plain = build_backbone("resnet18", (32, 32))
    again = build_backbone("resnet18", (32, 32))
    again.load_state_dict(plain.state_dict())
    recompute_activations(again)
    photos = torch.rand(4, 3, 32, 32)
    for backbone in (plain, again):
        for _ in range(2):
            backbone(photos).pow(2).sum().backward()
    expected = dict(plain.named_buffers())
    for name, value in again.named_buffers():
        if "running" in name:
            assert torch.allclose(value, expected[name], atol=1e-5), name


def test_a_backbone_that_cannot_recompute_is_refused() -> None:
    backbone = build_backbone("inception_v3", (80, 80))
    with pytest.raises(SettingsError, match=r"train\.recompute: this backbone cannot"):
        recompute_activations(backbone)


def test_compiling_without_a_compiler_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(SettingsError, match=r"train\.compile needs a C\+\+ compiler"):
        check_compiler()
    (tmp_path / "g++").touch(mode=0o755)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(SettingsError, match="needs Python's headers"):
        check_compiler()


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_a_compiled_backbone_gives_the_same_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.manual_seed(0)
    backbone = build_backbone("test_resnet", (32, 32)).eval()
    photos = torch.rand(2, 3, 32, 32)
    names = list(backbone.state_dict())
    expected = backbone(photos)
    backbone.compile()
    assert torch.allclose(backbone(photos), expected, atol=1e-4)
    assert list(backbone.state_dict()) == names
