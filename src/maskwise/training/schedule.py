"""How the rate moves: one factor of the peak for each optimizer step of a run.

A curve is made before training, from the schedulers of torch where they have it, so the rate at a
step follows from settings and step alone and a resumed run needs no state. `plateau` follows from
the scores so far.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CyclicLR,
    LinearLR,
    LRScheduler,
    ReduceLROnPlateau,
    StepLR,
)

from maskwise.config import ScheduleSettings

Curve = NDArray[np.float64]


class Schedule:
    """The rate of a run of `steps` steps as a share of its peak."""

    def __init__(self, settings: ScheduleSettings, steps: int) -> None:
        self._settings = settings
        self.curve = rate_curve(settings, steps)

    def factor(self, step: int, scores: Sequence[float]) -> float:
        """Return the factor of step `step` (from 0), given the scores of the epochs before it."""
        factor = float(self.curve[min(step, len(self.curve) - 1)])
        if self._settings.name == "plateau":
            factor *= plateau_factor(self._settings, scores)
        return factor


def rate_curve(settings: ScheduleSettings, steps: int) -> Curve:
    """Return the factor of each step, (steps,); `plateau` is flat here, as scores are unknown."""
    if settings.name == "one_cycle":
        return _one_cycle(settings, steps)
    if settings.name == "cosine":
        return _warm_cosine(settings, steps)
    if settings.name == "restarts":
        return _restarts(settings, steps)
    if settings.name == "triangular":
        return _triangular(settings, steps)
    warm = _warmup(settings, steps)
    flat = np.ones(steps)
    if settings.name == "step":
        size = max(1, -(-steps // settings.periods))
        flat = _read(lambda optimizer: StepLR(optimizer, size, settings.gamma), steps)
    flat[: len(warm)] *= warm
    return flat


def _one_cycle(settings: ScheduleSettings, steps: int) -> Curve:
    """Cosine up to the peak, cosine down to the lowest (Smith & Topin, 2019, 'Super-Convergence').

    The cosines in place of that paper's straight lines are fastai's. The same as torch's
    OneCycleLR, which cannot do runs of one step or warm-ups of one.
    """
    step, last = np.arange(steps), steps - 1
    peak = min(max(settings.warmup_share * steps - 1, 0), last)
    rise = np.interp(step, [0, peak], [0, 1]) if peak else np.ones(steps)
    fall = np.interp(step, [peak, last], [0, 1]) if last > peak else np.zeros(steps)
    up = _between(settings.start_factor, 1.0, rise)
    return np.where(step <= peak, up, _between(1.0, settings.final_factor, fall))


def _between(start: float, end: float, share: Curve) -> Curve:
    return end + (start - end) * (1 + np.cos(np.pi * share)) / 2


def _warm_cosine(settings: ScheduleSettings, steps: int) -> Curve:
    """Return a linear rise, then half a cosine (Loshchilov & Hutter, 2017, 'SGDR', equation 5)."""
    warm = _warmup(settings, steps)
    rest = steps - len(warm)
    fall = _read(
        lambda optimizer: CosineAnnealingLR(optimizer, max(1, rest - 1), settings.final_factor),
        rest,
    )
    return np.concatenate([warm, fall])


def _restarts(settings: ScheduleSettings, steps: int) -> Curve:
    """Return equal cycles of rise and cosine, each peak `gamma` times the one before."""
    periods = np.array_split(np.arange(steps), settings.periods)
    return np.concatenate(
        [
            np.maximum(
                _warm_cosine(settings, len(period)) * settings.gamma**number, settings.final_factor
            )
            for number, period in enumerate(periods)
        ]
    )


def _triangular(settings: ScheduleSettings, steps: int) -> Curve:
    """Return triangles whose height halves (Smith, 2017, 'Cyclical Learning Rates', section 3)."""
    half = max(1.0, steps / settings.periods / 2)
    return _read(
        lambda optimizer: CyclicLR(
            optimizer,
            base_lr=settings.final_factor,
            max_lr=1.0,
            step_size_up=half,  # type: ignore[arg-type] # torch takes parts of steps
            mode="triangular2",
            cycle_momentum=False,
        ),
        steps,
    )


def _warmup(settings: ScheduleSettings, steps: int) -> Curve:
    warm = round(settings.warmup_share * steps)
    return _read(lambda optimizer: LinearLR(optimizer, settings.start_factor, 1.0, warm or 1), warm)


def _read(build: Callable[[torch.optim.Optimizer], LRScheduler], steps: int) -> Curve:
    """Return the rates of a scheduler of torch for a peak of 1."""
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = build(optimizer)
    rates = []
    for step in range(steps):
        if step:
            optimizer.step()
            scheduler.step()
        rates.append(float(optimizer.param_groups[0]["lr"]))
    return np.array(rates)


def plateau_factor(settings: ScheduleSettings, scores: Sequence[float]) -> float:
    """Return the factor after some epochs' scores: `gamma` for each time that they stood still."""
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = ReduceLROnPlateau(
        optimizer,
        mode="max",
        factor=min(settings.gamma, 1 - 1e-9),
        patience=settings.patience,
        threshold=0.0,
        min_lr=settings.final_factor,
    )
    for score in scores:
        scheduler.step(score)
    return float(optimizer.param_groups[0]["lr"])
