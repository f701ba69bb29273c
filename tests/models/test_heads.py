"""Heads: their probabilities, and what an age head is shown."""

import numpy as np
import pytest
import torch
from torch.nn import functional as nnf

from maskwise.config import ModelSettings
from maskwise.labels import TASKS
from maskwise.models.heads import CosineClasses, Heads, build_layers, ordinal_log_probabilities
from maskwise.models.network import FaceModel, TaskModels, build_network
from maskwise.models.outputs import (
    AGE,
    LOG_VARIANCES,
    YEARS,
    answered_ages,
    group_log_probabilities,
    joint_log_probabilities,
    task_log_probabilities,
)

BOUNDARIES = (30, 60)


def settings(**values: object) -> ModelSettings:
    return ModelSettings(backbone="test_efficientnet", pretrained="none", **values)  # type: ignore[arg-type]


def features(count: int = 5) -> torch.Tensor:
    return torch.randn(count, 16, generator=torch.Generator().manual_seed(3))


def layer_names(**values: object) -> list[str]:
    return [type(layer).__name__ for layer in build_layers(16, 3, settings(**values)).modules()]


def test_layers_are_those_that_settings_name() -> None:
    assert layer_names() == ["Linear"]
    assert layer_names(dropout=0.2)[1:] == ["Dropout", "Linear"]
    assert layer_names(head_norm=True, dropout=0.2)[1:] == ["BatchNorm1d", "Dropout", "Linear"]
    assert layer_names(hidden=8, dropout=0.2)[1:] == ["Linear", "GELU", "Dropout", "Linear"]
    both = layer_names(hidden=8, head_norm=True)[1:]
    assert both == ["Linear", "BatchNorm1d", "GELU", "Dropout", "Linear"]
    assert layer_names(cosine_scale=64) == ["CosineClasses"]


def test_cosine_classes_are_scaled_cosines() -> None:
    layer, x = CosineClasses(16, 3, 30.0), features()
    expected = 30 * nnf.cosine_similarity(x[:, None], layer.weight[None], dim=2)
    assert torch.allclose(layer(x), expected, atol=1e-4)
    assert torch.allclose(layer(5 * x), expected, atol=1e-4)
    half = layer.half()(x.half())  # as an export in 16 bits asks
    assert torch.allclose(half, expected, atol=0.2)


def test_ordinal_probabilities_of_a_worked_case() -> None:
    # P(>= middle) = .8, and of those P(>= old) = .25
    steps = torch.tensor([[np.log(0.8 / 0.2), np.log(0.25 / 0.75)]], dtype=torch.float32)
    p = ordinal_log_probabilities(steps).exp()[0]
    assert p.numpy() == pytest.approx([0.2, 0.8 * 0.75, 0.8 * 0.25], rel=1e-5)
    wild = ordinal_log_probabilities(100 * torch.randn(50, 2)).exp()
    assert torch.allclose(wild.sum(dim=1), torch.ones(50), atol=1e-5)


def test_ordinal_loss_is_that_of_its_steps() -> None:
    """The paper's loss: a binary cross-entropy for each step that a photo takes part in."""
    steps = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    log_p = ordinal_log_probabilities(steps)
    first = nnf.binary_cross_entropy_with_logits(
        steps[:, 0], torch.tensor([0.0, 1.0, 1.0]), reduction="none"
    )
    second = nnf.binary_cross_entropy_with_logits(
        steps[1:, 1], torch.tensor([0.0, 1.0]), reduction="none"
    )
    expected = first + torch.cat([torch.zeros(1), second])
    assert torch.allclose(-log_p[torch.arange(3), torch.arange(3)], expected, atol=1e-6)


def test_years_sum_to_groups_and_to_a_mean_age() -> None:
    p = torch.zeros(1, 101)
    p[0, [29, 30, 59, 60]] = torch.tensor([0.1, 0.2, 0.3, 0.4])
    years = torch.log(p.clamp(min=1e-30))
    groups = group_log_probabilities(years, BOUNDARIES).exp()[0]
    assert groups.numpy() == pytest.approx([0.1, 0.5, 0.4], rel=1e-5)
    mean = 0.1 * 29 + 0.2 * 30 + 0.3 * 59 + 0.4 * 60
    told = answered_ages({YEARS: years})
    assert told is not None
    assert told.item() == pytest.approx(mean, rel=1e-5)
    both = answered_ages({YEARS: years, AGE: torch.tensor([150.0])})
    assert both is not None
    assert both.item() == pytest.approx((mean + 120) / 2, rel=1e-5)
    assert answered_ages({"age_group": groups[None]}) is None


@pytest.mark.parametrize("age", ["classes", "ordinal", "distribution"])
@pytest.mark.parametrize("sees", ["none", "gender", "mask", "both"])
def test_every_age_head_gives_probabilities(age: str, sees: str) -> None:
    outputs = Heads(16, settings(age=age, age_sees=sees, age_regression=True), BOUNDARIES)(
        features()
    )
    assert (YEARS in outputs) == (age == "distribution")
    assert outputs[AGE].shape == (5,)
    tasks = task_log_probabilities(outputs)
    for task, words in TASKS.items():
        assert tasks[task].shape == (5, len(words))
        assert torch.allclose(tasks[task].exp().sum(dim=1), torch.ones(5), atol=1e-5)
    assert torch.allclose(joint_log_probabilities(outputs).exp().sum(1), torch.ones(5), atol=1e-5)


def test_an_age_head_that_sees_gender_follows_it_and_sends_it_no_gradient() -> None:
    heads = Heads(16, settings(age_sees="gender"), BOUNDARIES)
    before = heads(features())["age_group"]
    before.sum().backward()
    assert heads["gender"].weight.grad is None
    with torch.no_grad():
        heads["gender"].bias += torch.tensor([3.0, -3.0])
    assert not torch.allclose(heads(features())["age_group"], before)
    blind = Heads(16, settings(), BOUNDARIES)
    assert blind["age_group"].in_features == 16
    assert heads["age_group"].in_features == 18


def test_multi_sample_dropout_gives_copies_in_training_only() -> None:
    torch.manual_seed(0)
    model = FaceModel(settings(dropout=0.5, dropout_samples=3), (32, 32))
    photos = torch.rand(4, 3, 32, 32)
    gender = model.train()(photos)["gender"]
    assert gender.shape == (12, 2)
    assert not torch.allclose(gender[:4], gender[4:8])
    assert model.eval()(photos)["gender"].shape == (4, 2)


def test_uncertainty_adds_three_learnt_numbers() -> None:
    model = FaceModel(settings(), (32, 32), uncertainty=True)
    assert model(torch.rand(2, 3, 32, 32))[LOG_VARIANCES].shape == (3,)
    assert any(value is model.log_variances for value in model.parameters())


def test_networks_of_tasks_answer_like_one() -> None:
    torch.manual_seed(0)
    model = build_network(settings(head="tasks", age="ordinal", age_regression=True), (32, 32))
    assert isinstance(model, TaskModels)
    model.eval()
    photos = torch.rand(2, 3, 32, 32)
    outputs = model(photos)
    assert set(outputs) == {*TASKS, AGE}
    for task in TASKS:
        part = model.tasks[task](photos)
        assert torch.equal(outputs[task], part[task])
        assert set(part) <= {task, AGE}


def test_frozen_weights_and_statistics_stay() -> None:
    model = FaceModel(settings(), (32, 32))
    names = ["conv_stem.weight", "bn1.weight", "bn1.bias"]
    model.freeze(names)
    model.train()
    assert not model.backbone.bn1.training
    assert model.backbone.blocks.training
    assert {n for n, p in model.backbone.named_parameters() if not p.requires_grad} == set(names)
    model.backbone_frozen = True
    model.train()
    assert not any(module.training for module in model.backbone.modules())
    assert model.heads.training
    model(torch.rand(2, 3, 32, 32))["mask"].sum().backward()
    assert all(p.grad is None for p in model.backbone.parameters())
    assert model.heads["mask"].weight.grad is not None
