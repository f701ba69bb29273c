"""Mixed photos: what each half shows, and what is known of it."""

import numpy as np
import pytest
import torch
from torch.nn import functional as nnf

from maskwise.config import MixSettings, Settings
from maskwise.labels import TASKS, UNKNOWN
from maskwise.models.outputs import Outputs
from maskwise.training.losses.labels import Labels
from maskwise.training.losses.loss import Loss
from maskwise.transforms.augment.mix import Mix, Mixer, kept_shares, mix_photos

COUNT = 200
ROWS = np.arange(COUNT)
RANDOM = np.random.default_rng(0)
CODES = {task: RANDOM.integers(0, len(words), COUNT) for task, words in TASKS.items()}
CODES["gender"][::7] = UNKNOWN
AGES = np.where(ROWS % 5 == 0, np.nan, RANDOM.integers(10, 90, COUNT)).astype(np.float32)


def mixer(seed: int = 0, **settings: object) -> Mixer:
    return Mixer(MixSettings(**settings), CODES, AGES, ROWS, seed)  # type: ignore[arg-type]


def test_nothing_on_mixes_nothing() -> None:
    mix = mixer().plan(ROWS, 0)
    assert len(mix.photo) == len(mix.partner) == 0


def test_plans_follow_from_seed_epoch_and_photo() -> None:
    whole = mixer(cutmix=0.5).plan(ROWS, 3)
    part = mixer(cutmix=0.5).plan(ROWS[50:60], 3)
    inside = (whole.photo >= 50) & (whole.photo < 60)
    assert np.array_equal(whole.photo[inside] - 50, part.photo)
    assert np.array_equal(whole.partner[inside], part.partner)
    assert np.array_equal(whole.box[inside], part.box)
    for other in (mixer(cutmix=0.5).plan(ROWS, 4), mixer(1, cutmix=0.5).plan(ROWS, 3)):
        assert not np.array_equal(whole.photo, other.photo)


def test_shares_of_photos_and_partners_are_those_asked() -> None:
    mix = mixer(cutmix=0.3, mixup=0.2, with_old=True, within_mask=True).plan(ROWS, 0)
    blended = np.isnan(mix.box[:, 0])
    assert 0.2 < (~blended).sum() / COUNT < 0.4
    assert 0.1 < blended.sum() / COUNT < 0.3
    assert (CODES["age_group"][mix.partner] == 2).all()
    assert (CODES["mask"][mix.partner] == CODES["mask"][ROWS[mix.photo]]).all()
    assert (mix.partner != mix.photo).all()
    masks = np.where(ROWS % 4 == 0, UNKNOWN, CODES["mask"])
    alike = MixSettings(cutmix=1, within_mask=True)
    mix = Mixer(alike, {**CODES, "mask": masks}, AGES, ROWS, 0).plan(ROWS, 0)
    assert (masks[mix.photo] != UNKNOWN).all(), "of an unknown mask nobody knows the like"
    assert len(mix.photo) == (masks != UNKNOWN).sum()
    near = mixer(mixup=1, age_gap=3).plan(ROWS, 0)
    assert len(near.photo) > 50
    assert (np.abs(AGES[near.partner] - AGES[near.photo]) <= 3).all()


def test_halves_stand_left_or_right_of_the_middle() -> None:
    mix = mixer(cutmix=1, cutmix_shape="half", cutmix_keep=(0.46, 0.54)).plan(ROWS, 0)
    assert len(mix.photo) == COUNT
    assert (mix.box[:, [1, 3]] == [0, 1]).all()
    right = mix.box[:, 2] == 1
    assert 0.3 < right.mean() < 0.7
    assert (mix.box[~right, 0] == 0).all()
    assert ((mix.kept >= 0.46) & (mix.kept <= 0.54)).all()
    assert mix.box[right, 0] == pytest.approx(mix.kept[right])


def test_photos_are_mixed_by_the_box_and_the_share_is_exact() -> None:
    photos, others = torch.zeros(3, 3, 20, 30), torch.ones(2, 3, 20, 30)
    box = np.array([[0.5, 0.0, 1.0, 1.0], [np.nan] * 4], dtype=np.float32)
    mix = Mix(np.array([2, 0]), np.array([7, 8]), np.array([0.5, 0.3], np.float32), box)
    mix_photos(photos, others, mix)
    assert photos[1].abs().sum() == 0
    assert photos[2, :, :, 15:].mean() == 1
    assert photos[2, :, :, :15].abs().sum() == 0
    assert torch.allclose(photos[0], torch.full((3, 20, 30), 0.7))
    assert kept_shares(mix, 20, 30) == pytest.approx([0.5, 0.3])
    odd = mixer(cutmix=1).plan(ROWS[:20], 0)
    shares = kept_shares(odd, 17, 13)
    photos, others = torch.zeros(20, 1, 17, 13), torch.ones(20, 1, 17, 13)
    mix_photos(photos, others, odd)
    assert 1 - photos.mean((1, 2, 3)).numpy() == pytest.approx(shares, abs=1e-6)
    assert shares == pytest.approx(odd.kept, abs=0.08)


def outputs(count: int) -> Outputs:
    torch.manual_seed(0)
    return {task: torch.randn(count, len(words)) for task, words in TASKS.items()}


def test_the_loss_of_a_mixed_photo_is_that_of_its_halves() -> None:
    """Two photos; the first keeps .4 of itself, and its other half has no known gender."""
    codes = {
        "mask": np.array([0, 1, 2]),
        "gender": np.array([1, 0, UNKNOWN]),
        "age_group": np.array([0, 1, 2]),
    }
    ages = np.array([20, 40, 70], dtype=np.float32)
    labels = Labels.of(codes, ages, np.array([0, 1])).mixed(
        Labels.of(codes, ages, np.array([2])), np.array([0]), np.array([0.4], np.float32)
    )
    given = outputs(2)
    log_p = {task: torch.log_softmax(values, dim=1) for task, values in given.items()}
    mask = -(0.4 * log_p["mask"][0, 0] + 0.6 * log_p["mask"][0, 2] + log_p["mask"][1, 1]) / 2
    gender = -(0.4 * log_p["gender"][0, 1] + log_p["gender"][1, 0]) / 1.4
    age = log_p["age_group"]
    age = -(0.4 * age[0, 0] + 0.6 * age[0, 2] + age[1, 1]) / 2
    loss = Loss(Settings(), codes, np.arange(3), torch.device("cpu"))
    value = loss(given, labels, labels)
    assert value.item() == pytest.approx((mask + gender + age).item(), rel=1e-5)


@pytest.mark.parametrize("terms", [{"focal": 1}, {"soft_f1": 1}, {"symmetric": 1}, {"bce": 1}])
def test_every_loss_weighs_the_halves_by_their_shares(terms: dict[str, float]) -> None:
    codes = {task: np.array([0, 1]) for task in TASKS}
    ages = np.full(2, np.nan, dtype=np.float32)
    settings = Settings.model_validate({"loss": {"terms": terms}})
    loss = Loss(settings, codes, np.arange(2), torch.device("cpu"))
    given, plain = outputs(1), Labels.of(codes, ages, np.array([0]))
    other = Labels.of(codes, ages, np.array([1]))
    alone = [loss(given, labels, labels).item() for labels in (plain, other)]
    whole = [
        loss(given, mixed, mixed).item()
        for kept in (1.0, 0.0)
        for mixed in [plain.mixed(other, np.array([0]), np.array([kept], np.float32))]
    ]
    assert whole == pytest.approx(alone, rel=1e-5)
    mixed = plain.mixed(other, np.array([0]), np.array([0.5], np.float32))
    if terms != {"soft_f1": 1}:  # which is of counts, not of photos
        assert loss(given, mixed, mixed).item() == pytest.approx(sum(alone) / 2, rel=1e-5)


def test_soft_f1_of_halves_counts_both_truths() -> None:
    scores = torch.log(torch.tensor([[0.6, 0.3, 0.1]]))
    codes = {"mask": np.array([0, 1]), "gender": np.array([UNKNOWN] * 2),
             "age_group": np.array([UNKNOWN] * 2)}  # fmt: skip
    ages = np.full(2, np.nan, dtype=np.float32)
    settings = Settings.model_validate({"loss": {"terms": {"soft_f1": 1}}})
    loss = Loss(settings, codes, np.arange(2), torch.device("cpu"))
    mixed = Labels.of(codes, ages, np.array([0])).mixed(
        Labels.of(codes, ages, np.array([1])), np.array([0]), np.array([0.25], np.float32)
    )
    given = {"mask": scores, "gender": torch.zeros(1, 2), "age_group": torch.zeros(1, 3)}
    # counts: true .25 and .75, answered .6 and .3, both .25 * .6 and .75 * .3
    expected = 1 - (2 * 0.15 / 0.85 + 2 * 0.225 / 1.05) / 2
    assert loss(given, mixed, mixed).item() == pytest.approx(expected, rel=1e-5)
    plain = nnf.cross_entropy(scores, torch.tensor([0]))
    assert plain > 0
