"""Schedules against torch's, against cases worked by hand, and without a state of their own."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, StepLR

from maskwise.config import ScheduleSettings
from maskwise.training.schedule import Schedule, plateau_factor, rate_curve

NAMES = ("one_cycle", "cosine", "restarts", "triangular", "step", "plateau", "constant")


def curve(steps: int, **values: object) -> np.ndarray:
    return rate_curve(ScheduleSettings(**values), steps)  # type: ignore[arg-type]


def reference(scheduler: LRScheduler, steps: int) -> list[float]:
    rates = []
    for step in range(steps):
        if step:
            scheduler.optimizer.step()
            scheduler.step()
        rates.append(scheduler.optimizer.param_groups[0]["lr"])
    return rates


def optimizer() -> SGD:
    return SGD([nn.Parameter(torch.zeros(1))], lr=1.0)


def test_one_cycle_equals_torch() -> None:
    expected = OneCycleLR(
        optimizer(), 1.0, total_steps=50, pct_start=0.2, div_factor=25, final_div_factor=40
    )
    ours = curve(50, warmup_share=0.2, start_factor=0.04, final_factor=0.001)
    assert ours == pytest.approx(reference(expected, 50))
    assert ours[[0, 9, 49]] == pytest.approx([0.04, 1, 0.001])


def test_triangles_equal_torch() -> None:
    expected = CyclicLR(
        optimizer(), 0.1, 1.0, step_size_up=5, mode="triangular2", cycle_momentum=False
    )
    ours = curve(30, name="triangular", periods=3, final_factor=0.1)
    assert ours == pytest.approx(reference(expected, 30))
    assert ours[[0, 5, 10, 15, 25]] == pytest.approx([0.1, 1, 0.1, 0.55, 0.325])


def test_steps_equal_torch() -> None:
    ours = curve(30, name="step", periods=3, gamma=0.1, warmup_share=0)
    assert ours == pytest.approx(reference(StepLR(optimizer(), 10, 0.1), 30))


def test_cosine_of_a_worked_case() -> None:
    ours = curve(10, name="cosine", warmup_share=0.4, start_factor=0.2, final_factor=0.1)
    falls = [0.1 + 0.9 * (1 + np.cos(np.pi * k / 5)) / 2 for k in range(6)]
    assert ours == pytest.approx([0.2, 0.4, 0.6, 0.8, *falls])


def test_restarts_shrink_by_gamma_and_warm_up_each_time() -> None:
    values = {"warmup_share": 0.25, "start_factor": 0.5, "final_factor": 0.01, "gamma": 0.5}
    ours = curve(24, name="restarts", periods=3, **values)
    peaks = [ours[2], ours[10], ours[18]]
    assert peaks == pytest.approx([1, 0.5, 0.25])
    assert ours[[0, 8, 16]] == pytest.approx([0.5, 0.25, 0.125])
    assert ours[[7, 15, 23]] == pytest.approx([0.01] * 3)
    assert ours[1] == pytest.approx(0.75)


def test_plateau_drops_when_scores_stand_still() -> None:
    settings = ScheduleSettings(name="plateau", patience=1, gamma=0.1, final_factor=0.005)
    scores = [0.5, 0.6, 0.6, 0.55, 0.58, 0.59, 0.7, 0.1, 0.1, 0.1, 0.1]
    factors = [plateau_factor(settings, scores[:count]) for count in range(len(scores) + 1)]
    assert factors == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.005, 0.005, 0.005])
    schedule = Schedule(settings, 100)
    assert schedule.factor(60, scores[:4]) == pytest.approx(0.1)
    assert schedule.factor(60, []) == 1


def test_a_warm_up_goes_before_flat_schedules() -> None:
    for name in ("step", "constant", "plateau"):
        ours = curve(20, name=name, warmup_share=0.2, start_factor=0.2)
        assert ours[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
        assert ours[4] == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("warmup", [0.0, 0.3, 1.0])
def test_every_schedule_has_a_rate_for_every_step(name: str, warmup: float) -> None:
    for steps in (1, 2, 3, 7, 100):
        for final in (0.0, 0.01):
            ours = curve(steps, name=name, warmup_share=warmup, final_factor=final)
            assert ours.shape == (steps,)
            assert np.isfinite(ours).all()
            assert (ours >= 0).all()
            assert ours.max() <= 1 + 1e-9
    assert Schedule(ScheduleSettings(name=name), 5).factor(9, []) >= 0  # type: ignore[arg-type]
