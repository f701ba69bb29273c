"""Augmentation: each change does what it says, per photo, whatever the batch."""

import numpy as np
import pytest
import torch
from kornia.geometry.transform import rotate

from augmenting import fixed, only, photos
from maskwise.config import AugmentSettings
from maskwise.transforms.augment.augment import Augment
from maskwise.transforms.augment.draws import draw
from maskwise.transforms.network_input import to_planes


def test_nothing_on_changes_nothing() -> None:
    frames = photos()
    draws = draw(np.arange(4), 0, 0)
    plain = to_planes(frames)
    assert torch.equal(Augment(AugmentSettings(enabled=False))(frames, draws), plain)
    assert torch.allclose(only()(frames, draws), plain, atol=1e-5)


def test_a_photo_gets_the_same_change_in_any_batch() -> None:
    frames, augment = photos(6), Augment(AugmentSettings(noise=1, blur=0.5, erase=0.5))
    rows = np.arange(6)
    together = augment(frames, draw(rows, 3, 2))
    apart = [augment(frames[[row]], draw(rows[[row]], 3, 2))[0] for row in rows]
    assert torch.allclose(together, torch.stack(apart), atol=1e-5)
    reverse = augment(frames.flip(0), draw(rows[::-1].copy(), 3, 2)).flip(0)
    assert torch.allclose(together, reverse, atol=1e-5)


def test_epochs_seeds_and_photos_draw_differently() -> None:
    first = draw(np.arange(2), 0, 0)["rotate"]
    assert not torch.equal(first, draw(np.arange(2), 0, 1)["rotate"])
    assert not torch.equal(first, draw(np.arange(2), 1, 0)["rotate"])
    assert first[0] != first[1]


def test_background_changes_behind_the_person_only() -> None:
    frames = photos(6)
    matte = torch.zeros(6, 32, 32, 1, dtype=torch.uint8)
    matte[:, 8:, 8:24] = 255
    with_matte = torch.cat([frames, matte], dim=3)
    plain, draws = to_planes(frames), draw(np.arange(6), 0, 0)
    person = (matte[..., 0] == 255)[:, None].expand_as(plain)
    changed = only(background=1, mattes="somewhere")(with_matte, draws)
    assert torch.allclose(changed[person], plain[person], atol=1e-5)
    for photo in range(6):
        behind = ~person[photo]
        assert (changed[photo][behind] - plain[photo][behind]).abs().mean() > 0.05
    again = only(background=1, mattes="somewhere")(with_matte[[3]], draw(np.array([3]), 0, 0))
    assert torch.allclose(again[0], changed[3], atol=1e-5)
    assert torch.allclose(only()(with_matte, draws), plain, atol=1e-5)
    soft = torch.cat([frames, torch.full_like(matte, 128)], dim=3)
    half = only(background=1, mattes="somewhere")(soft, fixed(6, background=0, background_cells=0))
    assert half.std(dim=(2, 3)).mean() < 0.6 * plain.std(dim=(2, 3)).mean()


def test_flip_is_exact() -> None:
    frames = photos()
    flipped = only(flip=1)(frames, fixed(4))
    assert torch.allclose(flipped, to_planes(frames).flip(3), atol=1e-4)


def test_rotation_equals_kornia() -> None:
    frames = photos()
    turned = only(rotate=20)(frames, fixed(4, rotate=1.0))
    angle = torch.full((4,), -20.0)  # kornia's two functions turn opposite ways
    reference = rotate(to_planes(frames), angle, padding_mode="border", align_corners=True)
    assert torch.allclose(turned, reference, atol=1e-3)


def test_shift_moves_by_its_share() -> None:
    frames = photos()
    moved = only(shift=0.25)(frames, fixed(4, shift_x=1.0))
    assert torch.allclose(moved[:, :, :, 8:], to_planes(frames)[:, :, :, :-8], atol=1e-4)


def test_zoom_keeps_the_centre() -> None:
    frames = torch.zeros(1, 33, 33, 3, dtype=torch.uint8)
    frames[:, 16, 16] = 255
    near = only(zoom=0.5)(frames, fixed(1, zoom=1.0))
    assert near[0, 0, 16, 16] == pytest.approx(1, abs=1e-4)
    assert near.sum() > to_planes(frames).sum() * 1.5


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_colour_changes_by_formula(name: str) -> None:
    frames, strength = photos(), 30.0 if name == "hue" else 0.25
    plain = to_planes(frames)
    changed = only(**{name: strength})(frames, fixed(4, **{name: 1.0}))
    luma = (plain * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    level = plain.mean((1, 2, 3), keepdim=True)
    expected = {
        "brightness": 1.25 * plain,
        "contrast": level + 1.25 * (plain - level),
        "saturation": luma + 1.25 * (plain - luma),
    }
    if name == "hue":  # a turn about grey keeps the sum of the channels
        inside = (changed > 0.001) & (changed < 0.999)
        inside = inside.all(1, keepdim=True).expand_as(changed)
        assert torch.allclose(changed.sum(1)[inside[:, 0]], plain.sum(1)[inside[:, 0]], atol=1e-3)
        assert (changed - plain).abs().max() > 0.05
    else:
        assert torch.allclose(changed, expected[name].clamp(0, 1), atol=1e-4)


def test_grey_has_equal_channels() -> None:
    grey = only(grey=1)(photos(), fixed(4))
    assert torch.allclose(grey[:, 0], grey[:, 1], atol=1e-5)
    assert torch.allclose(grey[:, 1], grey[:, 2], atol=1e-5)


def test_noise_blur_and_erasing() -> None:
    frames = photos(2, 64)
    plain = to_planes(frames)
    noisy = only(noise=1, noise_sigma=0.1)(frames, fixed(2, noise_sigma=1.0))
    assert (noisy - plain).std().item() == pytest.approx(0.1, rel=0.1)
    blurred = only(blur=1, blur_sigma=2)(frames, fixed(2, blur_sigma=1.0))
    assert blurred.diff(dim=3).abs().max() < 0.6 * plain.diff(dim=3).abs().max()
    assert blurred.mean().item() == pytest.approx(plain.mean().item(), abs=0.01)
    erased = only(erase=1, erase_share=0.25)(frames, fixed(2, erase_share=1.0))
    hole = (erased == 0.5).all(1).float().mean((1, 2))
    assert hole.tolist() == pytest.approx([0.25, 0.25], abs=0.02)


def test_values_stay_those_of_photos() -> None:
    strong = Augment(AugmentSettings(brightness=0.9, contrast=0.9, noise=1, noise_sigma=0.5))
    changed = strong(photos(8), draw(np.arange(8), 0, 0))
    assert changed.min() >= 0
    assert changed.max() <= 1
