"""Each loss against a reference implementation or a case worked by hand."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as nnf

from maskwise.config import LossSettings
from maskwise.training.losses import terms
from maskwise.training.losses.ages import range_loss, regression_loss, years_loss


def scored(
    scores: torch.Tensor,
    truth: list[int],
    weight: list[float] | None = None,
    scale: float = 0.0,
    **settings: float,
) -> terms.Scored:
    allowed = nnf.one_hot(torch.tensor(truth), scores.shape[1]).bool()
    weights = torch.tensor(weight or [1.0] * len(truth))
    return terms.Scored(scores, allowed, weights, LossSettings(**settings), scale)  # type: ignore[arg-type]


def random_scores(count: int = 6, classes: int = 3) -> torch.Tensor:
    return torch.randn(count, classes, generator=torch.Generator().manual_seed(1))


TRUTH = [0, 1, 2, 0, 1, 1]
WEIGHT = [1.0, 2.0, 0.5, 1.0, 1.0, 0.0]


def test_cross_entropy_equals_torch() -> None:
    scores = random_scores()
    for smoothing in (0.0, 0.1):
        each = nnf.cross_entropy(
            scores, torch.tensor(TRUTH), label_smoothing=smoothing, reduction="none"
        )
        expected = (each * torch.tensor(WEIGHT)).sum()
        value = terms.cross_entropy(scored(scores, TRUTH, WEIGHT, label_smoothing=smoothing))
        assert value.item() == pytest.approx(expected.item(), rel=1e-6)


def test_focal_of_a_worked_case() -> None:
    # probabilities .8 and .1 of the truth: (1 - p)^2 times -log p
    scores = torch.log(torch.tensor([[0.8, 0.15, 0.05], [0.1, 0.6, 0.3]]))
    expected = 0.2**2 * -math.log(0.8) + 0.9**2 * -math.log(0.1)
    assert terms.focal(scored(scores, [0, 0])).item() == pytest.approx(expected, rel=1e-5)
    plain = terms.focal(scored(scores, [0, 0], focal_gamma=0)).item()
    assert plain == pytest.approx(-math.log(0.8) - math.log(0.1), rel=1e-5)


def test_symmetric_cross_entropy_of_a_worked_case() -> None:
    scores = torch.log(torch.tensor([[0.7, 0.2, 0.1]]))
    # RCE: -(.7 log 1 + .2 (-4) + .1 (-4)) = 1.2
    expected = 0.1 * -math.log(0.7) + 1.0 * 1.2
    assert terms.symmetric_cross_entropy(scored(scores, [0])).item() == pytest.approx(expected)


def test_binary_cross_entropy_equals_torch() -> None:
    scores = random_scores()
    expected = nnf.binary_cross_entropy_with_logits(
        scores, nnf.one_hot(torch.tensor(TRUTH), 3).float(), reduction="none"
    ).mean(dim=1)
    value = terms.binary_cross_entropy(scored(scores, TRUTH, WEIGHT))
    assert value.item() == pytest.approx((expected * torch.tensor(WEIGHT)).sum().item(), rel=1e-5)


def test_binary_cross_entropy_leaves_out_classes_that_may_be_true() -> None:
    scores = torch.tensor([[2.0, -1.0, 0.5]])
    partly = terms.Scored(
        scores, torch.tensor([[True, True, False]]), torch.ones(1), LossSettings()
    )
    expected = -math.log(1 - 1 / (1 + math.exp(-0.5))) / 3
    assert terms.binary_cross_entropy(partly).item() == pytest.approx(expected, rel=1e-5)


def test_arcface_of_a_worked_case() -> None:
    scale, margin = 10.0, 0.5
    angles = torch.tensor([[0.6, 1.2, 2.0]])
    moved = scale * torch.cos(torch.tensor([0.6 + margin, 1.2, 2.0]))
    expected = -torch.log_softmax(moved, dim=0)[0].item()
    case = scored(scale * torch.cos(angles), [0], scale=scale, arcface_margin=margin)
    assert terms.arcface(case).item() == pytest.approx(expected, rel=1e-5)
    # past pi the cosine would rise again; the score must not
    far = scored(scale * torch.cos(torch.tensor([[3.0, 1.2, 2.0]])), [0], scale=scale)
    near = scored(scale * torch.cos(torch.tensor([[2.6, 1.2, 2.0]])), [0], scale=scale)
    assert terms.arcface(far) > terms.arcface(near) > terms.arcface(case)


def test_arcface_is_harder_than_cross_entropy_and_its_gradient_is_finite() -> None:
    scores = (5 * torch.tanh(random_scores())).requires_grad_()
    value = terms.arcface(scored(scores, TRUTH, scale=5.0))
    assert value > terms.cross_entropy(scored(scores, TRUTH))
    exact = torch.tensor([[5.0, -5.0, 0.0]], requires_grad=True)
    terms.arcface(scored(exact, [0], scale=5.0)).backward()
    assert exact.grad is not None
    assert torch.isfinite(exact.grad).all()


def test_soft_f1_of_certain_answers_is_one_minus_macro_f1() -> None:
    from sklearn.metrics import f1_score

    truth, answers = [0, 0, 1, 1, 2, 2, 2], [0, 1, 1, 1, 2, 0, 2]
    scores = 100.0 * nnf.one_hot(torch.tensor(answers), 3).float()
    value = terms.soft_f1(scored(scores, truth)).item() / len(truth)
    expected = 1 - f1_score(truth, answers, average="macro")
    assert value == pytest.approx(expected, abs=1e-6)


def test_soft_f1_of_a_worked_case() -> None:
    scores = torch.log(torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]]))
    # class 0: 2 * .6 / (.8 + 1), class 1: 2 * .5 / (.8 + 1); class 2 is not true here
    expected = 1 - (1.2 / 1.8 + 1.0 / 1.8) / 2
    assert terms.soft_f1(scored(scores, [0, 1])).item() / 2 == pytest.approx(expected, rel=1e-5)


def test_years_of_a_worked_case() -> None:
    uniform = torch.log(torch.full((1, 3), 1 / 3))
    log_q = torch.log_softmax(torch.tensor([-0.5, 0.0, -0.5]), dim=0)
    expected = float((log_q.exp() * (log_q + math.log(3))).sum())
    value = years_loss(uniform, torch.tensor([1.0]), sigma=1.0)
    assert value.item() == pytest.approx(expected, rel=1e-5)  # the mean is right: no error
    # at the last year, and beyond it: the mean of 1 is one year off
    log_q = torch.log_softmax(torch.tensor([-2.0, -0.5, 0.0]), dim=0)
    expected = float((log_q.exp() * (log_q + math.log(3))).sum()) + 0.1
    for age in (2.0, 3.0):
        value = years_loss(uniform, torch.tensor([age]), sigma=1.0)
        assert value.item() == pytest.approx(expected, rel=1e-5)


def test_a_range_of_ages_is_as_likely_as_its_years_together() -> None:
    log_years = torch.log(torch.tensor([[0.1, 0.2, 0.3, 0.4]] * 4)).requires_grad_()
    ranges = torch.tensor([[1.0, 2.0], [0.0, 120.0], [3.0, 3.0], [70.0, 120.0]])
    value = range_loss(log_years, ranges)
    expected = [-math.log(0.5), 0, -math.log(0.4), -math.log(0.4)]  # beyond the last year: the last
    assert value.tolist() == pytest.approx(expected, abs=1e-6)
    value.sum().backward()
    assert log_years.grad is not None
    assert torch.isfinite(log_years.grad).all()
    assert log_years.grad[0, [0, 3]].abs().sum() == 0


def test_an_age_inside_a_range_is_no_error() -> None:
    answers = torch.tensor([25.0, 35.0, 52.0])
    ranges = torch.tensor([[30.0, 39.0]] * 3)
    assert regression_loss(answers, ranges).tolist() == pytest.approx([0.125, 0, 0.8])


def test_years_are_learnt() -> None:
    scores = torch.zeros(2, 101, requires_grad=True)
    optimizer = torch.optim.Adam([scores], lr=0.3)
    ages = torch.tensor([23.0, 60.0])
    for _ in range(300):
        optimizer.zero_grad()
        years_loss(torch.log_softmax(scores, dim=1), ages, 3.0).sum().backward()
        optimizer.step()
    means = torch.softmax(scores, dim=1) @ torch.arange(101.0)
    assert means.detach().numpy() == pytest.approx([23, 60], abs=0.3)


def test_regression_is_in_decades() -> None:
    errors = regression_loss(torch.tensor([30.0, 45.0]), torch.tensor([35.0, 25.0]))
    assert errors.numpy() == pytest.approx(np.array([0.5 * 0.25, 2 - 0.5]))


def test_focal_of_a_small_power_has_a_gradient_where_nothing_is_known() -> None:
    scores = torch.randn(4, 3, requires_grad=True)
    allowed = torch.ones(4, 3, dtype=torch.bool)
    case = terms.Scored(scores, allowed, torch.zeros(4), LossSettings(focal_gamma=0.5))
    terms.focal(case).backward()
    assert scores.grad is not None
    assert torch.equal(scores.grad, torch.zeros(4, 3))
