"""Backbones that give pooled features of several stages."""

import copy

import pytest
import torch
from torch import nn

from maskwise.config import ModelSettings
from maskwise.errors import SettingsError
from maskwise.models.backbone import build_backbone, feature_count
from maskwise.models.network import FaceModel
from maskwise.models.stages import pool_stages

SIDE = 160


@pytest.mark.parametrize(
    "name", ["test_efficientnet", "test_resnet", "test_convnext", "test_vit", "mobilenetv1_100"]
)
def test_features_are_those_of_the_last_stage_and_the_means_of_earlier_maps(name: str) -> None:
    torch.manual_seed(0)
    size = (SIDE, SIDE)
    plain, several = build_backbone(name, size).eval(), build_backbone(name, size, pooled_stages=3)
    several.load_state_dict(plain.state_dict())
    several.eval()
    photos = torch.rand(2, 3, SIDE, SIDE)
    with torch.inference_mode():
        last, found = plain(photos), several(photos)
        _, maps = plain.forward_intermediates(photos, indices=3, output_fmt="NCHW")  # type: ignore[operator]
    wanted = torch.cat([last, maps[0].mean((2, 3)), maps[1].mean((2, 3))], dim=1)
    torch.testing.assert_close(found, wanted)
    assert found.shape[1] == feature_count(several) > feature_count(plain)


def test_a_copy_is_apart_from_its_original() -> None:
    backbone = build_backbone("test_efficientnet", (32, 32), pooled_stages=2).eval()
    other = copy.deepcopy(backbone)
    photos = torch.rand(1, 3, 32, 32)
    before = backbone(photos)
    with torch.no_grad():
        for value in other.parameters():
            value.zero_()
    assert torch.equal(backbone(photos), before)
    assert not torch.equal(other(photos), before)


def test_what_heads_see_is_normalised() -> None:
    torch.manual_seed(0)
    settings = ModelSettings(
        backbone="test_efficientnet", pretrained="none", pooled_stages=2, age_regression=True
    )
    model = FaceModel(settings, (32, 32)).train()
    seen: dict[str, torch.Tensor] = {}
    for name, head in model.heads.items():
        last = [layer for layer in head.modules() if isinstance(layer, nn.Linear)][-1]
        last.register_forward_pre_hook(lambda _, inputs, name=name: seen.update({name: inputs[0]}))
    model(torch.rand(8, 3, 32, 32))
    assert set(seen) == {"mask", "gender", "age_group", "age"}
    for values in seen.values():
        assert values.shape[1] == feature_count(model.backbone)
        torch.testing.assert_close(
            values.mean(dim=0), torch.zeros(values.shape[1]), atol=1e-4, rtol=0
        )


def test_what_cannot_be_pooled_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"pooled_stages: the backbone has 5, and 8 are set"):
        build_backbone("mobilenetv1_100", (32, 32), pooled_stages=8)
    with pytest.raises(SettingsError, match="gives no maps of its stages; take 1"):
        pool_stages(nn.Identity(), 2)
