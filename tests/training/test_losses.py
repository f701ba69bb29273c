"""The loss against worked cases: unknown labels add nothing, parts add up to the whole."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch.nn import functional as nnf

from maskwise.config import LossSettings, TaskWeights
from maskwise.labels import TASKS, UNKNOWN, encode_class
from maskwise.models.heads import (
    JOINT,
    Logits,
    joint_log_probabilities,
    task_log_probabilities,
)
from maskwise.training.losses import Loss, allowed_classes, class_weights

CPU = torch.device("cpu")


def codes_of(*rows: Sequence[int]) -> dict[str, np.ndarray]:
    return dict(zip(TASKS, np.array(rows, dtype=np.int64).T, strict=True))


def logits_for(count: int, head: str) -> Logits:
    torch.manual_seed(0)
    if head == "single":
        return {JOINT: torch.randn(count, 18, requires_grad=True)}
    return {
        task: torch.randn(count, len(words), requires_grad=True) for task, words in TASKS.items()
    }


CODES = codes_of((0, 1, 2), (2, UNKNOWN, UNKNOWN), (UNKNOWN, 0, 1), (1, 1, 0))
ROWS = np.arange(4)


def test_multi_head_is_the_sum_of_means_over_known_labels() -> None:
    logits = logits_for(4, "multi")
    expected = (
        nnf.cross_entropy(logits["mask"][[0, 1, 3]], torch.tensor([0, 2, 1]))
        + nnf.cross_entropy(logits["gender"][[0, 2, 3]], torch.tensor([1, 0, 1]))
        + 2 * nnf.cross_entropy(logits["age_group"][[0, 2, 3]], torch.tensor([2, 1, 0]))
    )
    loss = Loss(LossSettings(task_weights=TaskWeights(age_group=2)), CODES, ROWS, CPU)
    assert loss(logits, ROWS, ROWS).item() == pytest.approx(expected.item(), rel=1e-6)


def test_single_head_equals_cross_entropy_where_all_is_known() -> None:
    rows = np.array([0, 3])
    logits = {JOINT: logits_for(4, "single")[JOINT][rows]}
    classes = encode_class(*(CODES[task][rows] for task in TASKS))
    expected = nnf.cross_entropy(logits[JOINT], torch.from_numpy(classes))
    loss = Loss(LossSettings(), CODES, ROWS, CPU)
    assert loss(logits, rows, rows).item() == pytest.approx(expected.item(), rel=1e-6)


def test_single_head_sums_the_classes_that_a_known_mask_allows() -> None:
    logits = {JOINT: logits_for(4, "single")[JOINT][[1]]}
    p = torch.softmax(logits[JOINT], dim=1)[0]
    loss = Loss(LossSettings(), CODES, ROWS, CPU)
    rows = np.array([1])
    assert loss(logits, rows, rows).item() == pytest.approx(-p[12:].sum().log().item(), rel=1e-5)


@pytest.mark.parametrize("head", ["multi", "single"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_unknown_labels_have_no_gradient(head: str, smoothing: float) -> None:
    logits = logits_for(2, head)
    codes = codes_of((0, 1, 2), (UNKNOWN,) * 3)
    loss = Loss(LossSettings(label_smoothing=smoothing), codes, np.arange(2), CPU)
    loss(logits, np.arange(2), np.arange(2)).backward()
    for output in logits.values():
        assert output.grad is not None
        assert output.grad[0].abs().sum() > 0
        assert output.grad[1].abs().sum() == 0


@pytest.mark.parametrize("head", ["multi", "single"])
def test_parts_of_a_batch_add_up(head: str) -> None:
    logits = logits_for(4, head)
    loss = Loss(LossSettings(class_weights="sqrt", label_smoothing=0.05), CODES, ROWS, CPU)
    whole = loss(logits, ROWS, ROWS)
    parts = [
        loss({name: output[part] for name, output in logits.items()}, part, ROWS)
        for part in (np.array([0, 1, 2]), np.array([3]))
    ]
    assert sum(part.item() for part in parts) == pytest.approx(whole.item(), rel=1e-6)


@pytest.mark.parametrize("head", ["multi", "single"])
def test_a_batch_without_labels_gives_a_zero_gradient(head: str) -> None:
    logits = logits_for(1, head)
    loss = Loss(LossSettings(), codes_of((UNKNOWN,) * 3), np.arange(1), CPU)(
        logits, np.arange(1), np.arange(1)
    )
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_class_weights_average_one_and_favour_the_rare() -> None:
    codes = np.array([0] * 16 + [1] * 4 + [UNKNOWN] * 5)
    for kind, ratio in (("none", 1), ("sqrt", 2), ("balanced", 4)):
        weights = class_weights(codes, 3, kind)
        assert float(weights[1] / weights[0]) == pytest.approx(ratio)
        assert float(weights[codes[codes >= 0]].mean()) == pytest.approx(1)
        assert float(weights[2]) == 1


def test_allowed_classes_of_a_worked_case() -> None:
    allowed = allowed_classes(codes_of((1, UNKNOWN, 2), (UNKNOWN,) * 3, (0, 0, 0)))
    assert np.flatnonzero(allowed[0]).tolist() == [8, 11]
    assert allowed[1].all()
    assert np.flatnonzero(allowed[2]).tolist() == [0]


def test_probabilities_agree_between_heads_and_sum_to_one() -> None:
    for head in ("multi", "single"):
        logits = logits_for(5, head)
        joint = joint_log_probabilities(logits).exp()
        tasks = task_log_probabilities(logits)
        assert joint.sum(1).detach().numpy() == pytest.approx(np.ones(5), rel=1e-5)
        cube = joint.view(5, 3, 2, 3)
        assert torch.allclose(cube.sum((2, 3)), tasks["mask"].exp(), atol=1e-6)
        assert torch.allclose(cube.sum((1, 3)), tasks["gender"].exp(), atol=1e-6)
        assert torch.allclose(cube.sum((1, 2)), tasks["age_group"].exp(), atol=1e-6)


def test_class_weights_come_from_training_rows_only() -> None:
    codes = codes_of((0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 0, 0), (0, 0, 0))
    logits = logits_for(3, "multi")
    settings, train = LossSettings(class_weights="balanced"), np.arange(3)
    first = Loss(settings, codes, train, CPU)(logits, train, train)
    codes["mask"][3:] = 2
    assert first.item() == Loss(settings, codes, train, CPU)(logits, train, train).item()
