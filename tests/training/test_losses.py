"""The loss against worked cases: unknown labels add nothing, parts add up to the whole."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as nnf

from maskwise.config import LossSettings, Settings
from maskwise.labels import TASKS, UNKNOWN, encode_class
from maskwise.models.outputs import (
    AGE,
    JOINT,
    LOG_VARIANCES,
    YEARS,
    Outputs,
    group_log_probabilities,
    joint_log_probabilities,
    task_log_probabilities,
)
from maskwise.training.losses.class_weights import class_weights
from maskwise.training.losses.labels import Labels
from maskwise.training.losses.loss import Loss

CPU = torch.device("cpu")
NAN = float("nan")


def codes_of(*rows: Sequence[int]) -> dict[str, np.ndarray]:
    return dict(zip(TASKS, np.array(rows, dtype=np.int64).T, strict=True))


def outputs_for(count: int, head: str) -> Outputs:
    torch.manual_seed(0)
    if head == "single":
        return {JOINT: torch.randn(count, 18, requires_grad=True)}
    return {
        task: torch.randn(count, len(words), requires_grad=True) for task, words in TASKS.items()
    }


CODES = codes_of((0, 1, 2), (2, UNKNOWN, UNKNOWN), (UNKNOWN, 0, 1), (1, 1, 0))
AGES = np.array([67, NAN, 41, 25], dtype=np.float32)
ROWS = np.arange(4)


def loss_of(
    outputs: Outputs,
    rows: np.ndarray = ROWS,
    batch: np.ndarray = ROWS,
    codes: dict[str, np.ndarray] = CODES,
    ages: np.ndarray = AGES,
    ranges: np.ndarray | None = None,
    **settings: Any,
) -> torch.Tensor:
    """Return the loss of some rows of a batch; `settings` are sections."""
    used = Settings.model_validate(
        {"model": {"head": "single" if JOINT in outputs else "multi"}} | settings
    )
    loss = Loss(used, codes, np.arange(len(ages)), CPU)
    labels, whole = (Labels.of(codes, ages, part, age_ranges=ranges) for part in (rows, batch))
    return loss(outputs, labels, whole)


def test_multi_head_is_the_sum_of_means_over_known_labels() -> None:
    outputs = outputs_for(4, "multi")
    expected = (
        nnf.cross_entropy(outputs["mask"][[0, 1, 3]], torch.tensor([0, 2, 1]))
        + nnf.cross_entropy(outputs["gender"][[0, 2, 3]], torch.tensor([1, 0, 1]))
        + 2 * nnf.cross_entropy(outputs["age_group"][[0, 2, 3]], torch.tensor([2, 1, 0]))
    )
    value = loss_of(outputs, loss={"task_weights": {"age_group": 2}})
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)


def test_single_head_equals_cross_entropy_where_all_is_known() -> None:
    rows = np.array([0, 3])
    outputs = {JOINT: outputs_for(4, "single")[JOINT][rows]}
    classes = encode_class(*(CODES[task][rows] for task in TASKS))
    expected = nnf.cross_entropy(outputs[JOINT], torch.from_numpy(classes))
    assert loss_of(outputs, rows, rows).item() == pytest.approx(expected.item(), rel=1e-6)


def test_single_head_sums_the_classes_that_a_known_mask_allows() -> None:
    outputs = {JOINT: outputs_for(4, "single")[JOINT][[1]]}
    p = torch.softmax(outputs[JOINT], dim=1)[0]
    rows = np.array([1])
    expected = -p[12:].sum().log().item()
    assert loss_of(outputs, rows, rows).item() == pytest.approx(expected, rel=1e-5)


def test_smoothing_equals_torch() -> None:
    outputs = outputs_for(4, "multi")
    expected = nnf.cross_entropy(
        outputs["gender"], torch.from_numpy(CODES["gender"]), ignore_index=-1, label_smoothing=0.1
    )
    only = {"task_weights": {"mask": 0, "age_group": 0}, "label_smoothing": 0.1}
    assert loss_of(outputs, loss=only).item() == pytest.approx(expected.item(), rel=1e-6)


SOME_TERMS: list[dict[str, Any]] = [
    {"terms": {"ce": 1}},
    {"terms": {"ce": 0.5, "focal": 2}, "label_smoothing": 0.1},
    {"terms": {"focal": 1}, "class_weights": "sqrt"},
    {"terms": {"symmetric": 1}, "class_weights": "balanced"},
    {"terms": {"bce": 1}, "class_weights": "effective"},
]


@pytest.mark.parametrize("head", ["multi", "single"])
@pytest.mark.parametrize("loss", [*SOME_TERMS, {"terms": {"soft_f1": 1}}])
def test_unknown_labels_have_no_gradient(head: str, loss: dict[str, Any]) -> None:
    outputs = outputs_for(2, head)
    codes = codes_of((0, 1, 2), (UNKNOWN,) * 3)
    ages, rows = np.full(2, NAN, np.float32), np.arange(2)
    loss_of(outputs, rows, rows, codes, ages, loss=loss).backward()
    for output in outputs.values():
        assert output.grad is not None
        assert output.grad[0].abs().sum() > 0
        assert output.grad[1].abs().sum() == 0


@pytest.mark.parametrize("head", ["multi", "single"])
@pytest.mark.parametrize("loss", SOME_TERMS)
def test_parts_of_a_batch_add_up(head: str, loss: dict[str, Any]) -> None:
    outputs = outputs_for(4, head)
    whole = loss_of(outputs, loss=loss)
    parts = [
        loss_of({name: output[part] for name, output in outputs.items()}, part, loss=loss)
        for part in (np.array([0, 1, 2]), np.array([3]))
    ]
    assert sum(part.item() for part in parts) == pytest.approx(whole.item(), rel=1e-6)


@pytest.mark.parametrize("head", ["multi", "single"])
@pytest.mark.parametrize("loss", [*SOME_TERMS, {"terms": {"soft_f1": 1}}])
def test_a_batch_without_labels_gives_a_zero_gradient(head: str, loss: dict[str, Any]) -> None:
    outputs, rows = outputs_for(1, head), np.arange(1)
    ages = np.full(1, NAN, np.float32)
    value = loss_of(outputs, rows, rows, codes_of((UNKNOWN,) * 3), ages, loss=loss)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)


def test_the_joint_loss_of_heads_apart_is_added() -> None:
    outputs = outputs_for(4, "multi")
    rows = [0, 3]
    classes = torch.from_numpy(encode_class(*(CODES[task][rows] for task in TASKS)))
    joint = joint_log_probabilities(outputs)
    expected = nnf.nll_loss(joint[rows], classes, reduction="sum")
    # what is known in part counts too: mask of the second, gender and age of the third photo
    log_p = task_log_probabilities(outputs)
    expected = expected - log_p["mask"][1, 2] - log_p["gender"][2, 0] - log_p["age_group"][2, 1]
    added = loss_of(outputs, loss={"joint": {"ce": 3}}) - loss_of(outputs)
    assert added.item() == pytest.approx(3 * expected.item() / 4, rel=1e-5)


def test_a_task_has_its_own_losses() -> None:
    outputs = outputs_for(4, "multi")
    all_ce = loss_of(outputs)
    age_only = {"mask": 0, "gender": 0}
    own = loss_of(outputs, loss={"age_group": {"focal": 1}})
    focal = loss_of(outputs, loss={"terms": {"focal": 1}, "task_weights": age_only})
    ce = loss_of(outputs, loss={"task_weights": age_only})
    assert own.item() == pytest.approx((all_ce - ce + focal).item(), rel=1e-6)


def test_uncertainty_weighs_tasks_by_learnt_variances() -> None:
    outputs = outputs_for(4, "multi")
    plain = {t: loss_of(outputs, loss={"task_weights": dict.fromkeys(TASKS, 0) | {t: 1}})
             for t in TASKS}  # fmt: skip
    variances = torch.tensor([0.4, -0.3, 0.0], requires_grad=True)
    value = loss_of(outputs | {LOG_VARIANCES: variances}, loss={"task_weighting": "uncertainty"})
    each = zip(variances, TASKS, strict=True)
    expected = torch.stack([torch.exp(-s) * plain[task] + s / 2 for s, task in each]).sum()
    assert value.item() == pytest.approx(float(expected.detach()), rel=1e-6)
    value.backward()
    # the gradient of exp(-s) L + s / 2
    assert variances.grad is not None
    assert variances.grad[2].item() == pytest.approx(0.5 - plain["age_group"].item(), rel=1e-5)
    halves = [
        loss_of(
            {n: o[part] for n, o in outputs.items()} | {LOG_VARIANCES: variances},
            part,
            loss={"task_weighting": "uncertainty"},
        )
        for part in (ROWS[:1], ROWS[1:])
    ]
    assert sum(half.item() for half in halves) == pytest.approx(value.item(), rel=1e-6)


def test_uncertainty_of_a_task_without_labels_is_not_learnt() -> None:
    codes = codes_of((0, UNKNOWN, 2), (2, UNKNOWN, 1))
    ages, rows = np.array([67, 41], dtype=np.float32), np.arange(2)
    variances = torch.zeros(3, requires_grad=True)
    outputs = outputs_for(2, "multi") | {LOG_VARIANCES: variances}
    loss = {"task_weighting": "uncertainty"}
    loss_of(outputs, rows, rows, codes, ages, loss=loss).backward()
    assert variances.grad is not None
    assert variances.grad[1] == 0
    assert (variances.grad[[0, 2]] != 0).all()


def test_copies_of_multi_sample_dropout_share_a_photo() -> None:
    outputs = outputs_for(4, "multi")
    twice = {name: torch.cat([output, output + 1.0]) for name, output in outputs.items()}
    twice["age_group"] = torch.cat([outputs["age_group"], outputs["age_group"].flip(1)])
    flipped = outputs | {"age_group": outputs["age_group"].flip(1)}
    settings = {"head": "multi", "dropout": 0.3, "dropout_samples": 2}
    value = loss_of(twice, model=settings)
    expected = (loss_of(outputs) + loss_of(flipped)) / 2
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)


def test_years_teach_where_they_are_known() -> None:
    outputs = outputs_for(4, "multi")
    years = torch.log_softmax(torch.randn(4, 101), dim=1).requires_grad_()
    outputs |= {YEARS: years, "age_group": group_log_probabilities(years, (30, 60))}
    outputs[AGE] = torch.tensor([60.0, 20.0, 41.0, 40.0], requires_grad=True)
    distribution = {"head": "multi", "age": "distribution"}
    base = loss_of(outputs, model=distribution, loss={"age_distribution": 0, "age_regression": 0})
    value = loss_of(outputs, model=distribution, loss={"age_distribution": 0})
    # errors of 7, 0 and 15 years: half a square below a decade, straight above
    expected = (0.5 * 0.7**2 + 0 + (1.5 - 0.5)) / 3
    assert (value - base).item() == pytest.approx(expected, rel=1e-4)
    loss_of(outputs, model=distribution).backward()
    assert years.grad is not None
    assert years.grad[1].abs().sum() == 0  # neither age nor group is known
    assert years.grad[0].abs().sum() > 0
    # a range teaches where the age is unknown, and each known photo has the same share
    ranges = np.full((4, 2), NAN, np.float32)
    ranges[1] = (30, 39)
    taught = loss_of(outputs, ranges=ranges, model=distribution, loss={"age_distribution": 0})
    expected = (0.5 * 0.7**2 + 0 + (1.5 - 0.5) + 0.5) / 4  # 20 is ten years below 30
    assert (taught - base).item() == pytest.approx(expected, rel=1e-4)
    only = loss_of(
        outputs, ages=np.full(4, NAN, np.float32), ranges=ranges, model=distribution,
        loss={"age_regression": 0},
    )  # fmt: skip
    likely = float(years[1, 30:40].detach().exp().sum())
    assert (only - base).item() == pytest.approx(-math.log(likely), rel=1e-4)


def test_class_weights_average_one_and_favour_the_rare() -> None:
    codes = np.array([0] * 16 + [1] * 4 + [UNKNOWN] * 5)
    beta = 0.9
    effective = (1 - beta**16) / (1 - beta**4)
    for kind, ratio in (("none", 1), ("sqrt", 2), ("balanced", 4), ("effective", effective)):
        settings = LossSettings(class_weights=kind, effective_beta=beta)
        weights = class_weights(codes, 3, settings, "mask")
        assert float(weights[1] / weights[0]) == pytest.approx(ratio)
        assert float(weights[codes[codes >= 0]].mean()) == pytest.approx(1)
        assert float(weights[2]) == 1


def test_a_list_of_class_weights_is_taken_as_it_is() -> None:
    outputs = outputs_for(4, "multi")
    settings = {
        "task_weights": {"mask": 0, "age_group": 0},
        "class_weight_lists": {"gender": [1, 3]},
    }
    each = nnf.cross_entropy(
        outputs["gender"][[0, 2, 3]], torch.tensor([1, 0, 1]), reduction="none"
    )
    expected = (3 * each[0] + each[1] + 3 * each[2]) / 3
    assert loss_of(outputs, loss=settings).item() == pytest.approx(expected.item(), rel=1e-6)


def test_allowed_classes_of_a_worked_case() -> None:
    codes = codes_of((1, UNKNOWN, 2), (UNKNOWN,) * 3, (0, 0, 0))
    allowed = Labels.of(codes, np.full(3, NAN, np.float32), np.arange(3)).allowed(JOINT)
    assert np.flatnonzero(allowed[0]).tolist() == [8, 11]
    assert allowed[1].all()
    assert np.flatnonzero(allowed[2]).tolist() == [0]


def test_probabilities_agree_between_heads_and_sum_to_one() -> None:
    for head in ("multi", "single"):
        outputs = outputs_for(5, head)
        joint = joint_log_probabilities(outputs).exp()
        tasks = task_log_probabilities(outputs)
        assert joint.sum(1).detach().numpy() == pytest.approx(np.ones(5), rel=1e-5)
        cube = joint.view(5, 3, 2, 3)
        assert torch.allclose(cube.sum((2, 3)), tasks["mask"].exp(), atol=1e-6)
        assert torch.allclose(cube.sum((1, 3)), tasks["gender"].exp(), atol=1e-6)
        assert torch.allclose(cube.sum((1, 2)), tasks["age_group"].exp(), atol=1e-6)


def test_class_weights_come_from_training_rows_only() -> None:
    codes = codes_of((0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 0, 0), (0, 0, 0))
    outputs, train = outputs_for(3, "multi"), np.arange(3)
    settings = Settings.model_validate({"loss": {"class_weights": "balanced"}})
    labels = Labels.of(codes, np.full(5, NAN, np.float32), train)
    first = Loss(settings, codes, train, CPU)(outputs, labels, labels)
    codes["mask"][3:] = 2
    assert first.item() == Loss(settings, codes, train, CPU)(outputs, labels, labels).item()
