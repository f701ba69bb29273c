"""Crops, choices among changes, local equalisation, compression and policies."""

from pathlib import Path

import numpy as np
import pytest
import torch
from kornia.enhance import equalize_clahe, jpeg_codec_differentiable
from torch.nn import functional as nnf

from augmenting import OFF, fixed, only, photos
from maskwise.config import AugmentSettings
from maskwise.errors import SettingsError
from maskwise.transforms.augment.augment import Augment
from maskwise.transforms.augment.draws import draw
from maskwise.transforms.augment.policy import Policy, PolicyStep, write_policy
from maskwise.transforms.network_input import to_planes


def test_resized_crop_spreads_a_part_over_the_frame() -> None:
    frames = photos(1, 64)
    # a quarter of the area, of the frame's shape, in the lower right corner
    draws = fixed(1, resized_crop=0, crop_share=0, crop_x=1, crop_y=1)
    cropped = only(resized_crop=1, resized_crop_share=0.25)(frames, draws)
    part = to_planes(frames)[:, :, 32:, 32:]
    expected = nnf.interpolate(part, size=(64, 64), mode="bilinear", align_corners=True)
    assert (cropped - expected).abs().mean() < 0.03
    assert torch.allclose(cropped[0, :, -1, -1], to_planes(frames)[0, :, -1, -1], atol=1e-4)
    kept = only(resized_crop=1, resized_crop_share=1)(frames, fixed(1, resized_crop=0))
    assert torch.allclose(kept, to_planes(frames), atol=1e-4)


def test_spare_pixels_are_cropped_at_random_and_evenly_for_answers() -> None:
    generator = np.random.default_rng(0)
    frames = torch.from_numpy(generator.integers(0, 256, (64, 32, 32, 3), dtype=np.uint8))
    augment = Augment(AugmentSettings(**OFF), spare=4)  # type: ignore[arg-type]
    cut = augment(frames, draw(np.arange(64), 0, 0))
    assert cut.shape == (64, 3, 24, 24)
    plain, places = to_planes(frames), set()
    for photo in range(64):
        found = {
            (x, y)
            for x in range(9)
            for y in range(9)
            if torch.allclose(cut[photo], plain[photo, :, y : y + 24, x : x + 24], atol=1e-5)
        }
        assert len(found) == 1
        places |= found
    assert len(places) > 30
    # resampling by another change leaves the crop where it is
    turned = Augment(AugmentSettings(**(OFF | {"flip": 1})), spare=4)  # type: ignore[arg-type]
    assert torch.allclose(turned(frames, draw(np.arange(64), 0, 0)), cut.flip(3), atol=1e-3)
    still = Augment(AugmentSettings(enabled=False), spare=4)(frames, draw(np.arange(64), 0, 0))
    assert torch.equal(still, plain[:, :, 4:-4, 4:-4])


def test_one_of_changes_each_photo_by_one_of_a_group() -> None:
    group = ("brightness", "grey", "erase")
    settings = {"brightness": 0.5, "grey": 1, "erase": 1}
    frames = photos(48)
    draws = draw(np.arange(48), 0, 0)
    changed = only(**settings, one_of=(group,))(frames, draws)  # type: ignore[arg-type]
    kept = (draws["one_of_0"] * 3).long()
    assert set(kept.tolist()) == {0, 1, 2}
    for place, name in enumerate(group):
        alone = only(**{name: settings[name]})(frames, draws)
        chosen = kept == place
        assert torch.allclose(changed[chosen], alone[chosen], atol=1e-5)
        assert not torch.allclose(changed[~chosen], alone[~chosen], atol=1e-2)


def test_clahe_equals_kornia_and_jpeg_loses_more_at_a_lower_quality() -> None:
    frames = photos(2, 64)
    dull = frames // 8 + 100
    for drawn, limit in ((1.0, 3.0), (0.0, 1.0)):
        changed = only(clahe=1, clahe_limit=3)(dull, fixed(2, clahe=0, clahe_limit=drawn))
        expected = [equalize_clahe(to_planes(dull)[0], each, (4, 4)) for each in (limit, 4 - limit)]
        assert torch.allclose(changed[0], expected[0], atol=1e-5)
        assert not torch.allclose(changed[0], expected[1], atol=1e-2)
    plain = to_planes(frames)
    good = only(jpeg=1, jpeg_quality=10)(frames, fixed(2, jpeg=0, jpeg_quality=1.0))
    bad = only(jpeg=1, jpeg_quality=10)(frames, fixed(2, jpeg=0, jpeg_quality=0.0))
    assert 0 < (good - plain).abs().mean() < (bad - plain).abs().mean() < 0.2
    assert torch.allclose(bad, jpeg_codec_differentiable(plain, torch.full((2,), 10.0)), atol=1e-5)


@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment", "file"])
def test_policies_change_each_photo_by_its_own_draw(policy: str, tmp_path: Path) -> None:
    if policy == "file":
        step = PolicyStep(change="rotate", probability=1.0, strength=9)
        policy = str(tmp_path / "policy.yaml")
        write_policy(Path(policy), Policy(sequences=((step,),)))
    frames, augment = photos(6), only(policy=policy)
    rows = np.arange(6)
    state = torch.get_rng_state()
    together = augment(frames, draw(rows, 3, 2))
    assert torch.equal(torch.get_rng_state(), state)
    apart = [augment(frames[[row]], draw(rows[[row]], 3, 2))[0] for row in rows]
    assert torch.allclose(together, torch.stack(apart), atol=1e-5)
    plain = to_planes(frames)
    assert ((together - plain).abs().mean((1, 2, 3)) > 0.005).sum() >= 3
    never = only(policy=policy, policy_share=0)(frames, draw(rows, 3, 2))
    assert torch.allclose(never, plain, atol=1e-5)
    alike = augment(frames[[0] * 6], draw(rows, 3, 2))
    assert len({photo.numpy().round(2).tobytes() for photo in alike}) > 1


def test_steps_of_a_policy_come_with_their_probability(tmp_path: Path) -> None:
    frames, rows = photos(1)[[0] * 40], np.arange(40)
    for probability, low, high in ((0.0, 0, 0), (0.5, 10, 30), (1.0, 40, 40)):
        step = PolicyStep(change="invert", probability=probability, strength=5)
        file = tmp_path / f"{probability}.yaml"
        write_policy(file, Policy(sequences=((step,),)))
        changed = only(policy=str(file))(frames, draw(rows, 0, 0))
        inverted = (changed - to_planes(frames)).abs().mean((1, 2, 3)) > 0.01
        assert low <= inverted.sum() <= high


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        ("[", "is not YAML"),
        ("sequences: [[{change: rotat, probability: 2, strength: 10}]]", "is no policy"),
    ],
)
def test_bad_policies_are_refused(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "policy.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=message) as raised:
        only(policy=str(file))
    if message == "is no policy":
        assert all(word in str(raised.value) for word in ("change", "probability", "strength"))
