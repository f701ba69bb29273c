"""Depthwise convolutions that train faster give the same outputs and gradients."""

import copy

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from maskwise.models.backbone import build_backbone
from maskwise.models.depthwise import hasten_depthwise

KINDS = {
    "five": (nn.Conv2d, {"kernel_size": 5, "padding": 2}, 9),
    "five with a bias": (nn.Conv2d, {"kernel_size": 5, "padding": 2, "bias": True}, 9),
    "five at stride 2": (nn.Conv2d, {"kernel_size": 5, "padding": 2, "stride": 2}, 12),
    "five at stride 2, padded alike": (Conv2dSame, {"kernel_size": 5, "stride": 2}, 12),
    "five, of 3 pixels": (nn.Conv2d, {"kernel_size": 5, "padding": 2}, 3),
    "five, not padded": (nn.Conv2d, {"kernel_size": 5}, 9),
    "seven": (nn.Conv2d, {"kernel_size": 7, "padding": 3}, 10),
    "seven at stride 3": (nn.Conv2d, {"kernel_size": 7, "padding": 1, "stride": 3}, 11),
    "high": (nn.Conv2d, {"kernel_size": (3, 5), "padding": (1, 2), "stride": (2, 1)}, 8),
    "four": (nn.Conv2d, {"kernel_size": 4, "padding": 2}, 9),
    "three": (nn.Conv2d, {"kernel_size": 3, "padding": 1}, 9),
    "spread": (nn.Conv2d, {"kernel_size": 5, "padding": 4, "dilation": 2}, 9),
}


@pytest.mark.parametrize("name", KINDS)
def test_outputs_and_gradients_are_the_same(name: str) -> None:
    kind, options, size = KINDS[name]
    torch.manual_seed(0)
    plain = nn.Sequential(kind(6, 6, groups=6, **{"bias": False, **options}))
    hastened = copy.deepcopy(plain)
    hasten_depthwise(hastened)
    photos = torch.rand(3, 6, size, size)
    told = []
    for layer in (plain, hastened):
        values = photos.clone().requires_grad_()
        layer(values).pow(2).sum().backward()
        told.append([values.grad, *(weight.grad for weight in layer.parameters())])
    assert torch.equal(plain(photos), hastened(photos)) or "bias" in name
    for one, other in zip(*told, strict=True):
        assert one is not None
        assert other is not None
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


def test_of_wide_kernels_strips_are_computed() -> None:
    layers = nn.Sequential(
        nn.Conv2d(4, 4, 5, padding=2, groups=4), nn.Conv2d(4, 4, 3, padding=1, groups=4)
    )
    hasten_depthwise(layers)
    photos = torch.rand(1, 4, 8, 8)
    wide, narrow = layers
    assert "InStrips" in type(wide(photos).grad_fn.next_functions[0][0]).__name__
    assert "Convolution" in type(narrow(photos).grad_fn).__name__


def test_they_stay_in_32_bits_in_mixed_precision_and_in_copies() -> None:
    torch.manual_seed(0)
    backbone = build_backbone("tf_efficientnet_lite0", (32, 32)).eval()
    names, photos = list(backbone.state_dict()), torch.rand(2, 3, 32, 32)
    expected = backbone(photos).detach()
    hasten_depthwise(backbone)
    kept = copy.deepcopy(backbone)
    assert list(backbone.state_dict()) == names
    assert torch.equal(kept(photos), expected)
    types: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    for module in (part for part in kept.modules() if isinstance(part, torch.nn.Conv2d)):
        found = types[module.groups > 1]
        module.register_forward_hook(lambda _, __, given, found=found: found.add(given.dtype))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for weight in backbone.parameters():
            weight.zero_()  # a copy that asked the original would answer zeros
        mixed = kept(photos)
    assert types == {True: {torch.float32}, False: {torch.bfloat16}}
    assert torch.allclose(mixed.float(), expected, atol=0.05 * float(expected.abs().max()))
