"""The speed that a dry run tells."""

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from maskwise.data.batches import Part
from maskwise.training import dry_run


def told(seconds: list[float], monkeypatch: pytest.MonkeyPatch) -> tuple[float, int]:
    """Return the photos a second that are told of steps that take so long, and how many were."""
    clock, steps = [0.0], iter(seconds)
    taken = []

    def take(*_: Any) -> None:
        taken.append(next(steps))
        clock[0] += taken[-1]

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    part = Part(0, [np.arange(8)], np.arange(8))
    stepper: Any = SimpleNamespace(
        take=take, begin_epoch=lambda _: None, needed=lambda rows, _: rows
    )
    return dry_run._speed(stepper, [part], [torch.zeros(8, 1)], 0), len(taken)


def test_a_first_step_that_compiles_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    speed, steps = told([90, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], monkeypatch)
    assert speed == pytest.approx(16)
    assert steps == 8


def test_slow_steps_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    speed, steps = told([40, 40, 40], monkeypatch)
    assert speed == pytest.approx(0.2)
    assert steps == 2
