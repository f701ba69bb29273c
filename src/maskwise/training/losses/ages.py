"""Losses of the age in years."""

import torch
from torch.nn import functional as nnf

_DECADE = 10.0


def years_loss(log_years: torch.Tensor, ages: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return (m,): the divergence from a known age's distribution, and its mean's error.

    KL(q || p) with q a normal distribution about the age, of deviation `sigma`, over the years of
    `log_years` (m, years); plus |mean of p - age| in decades (Gao et al., 2018, 'Age Estimation
    Using Expectation of Label Distribution Learning', equations 2 to 8). `ages` (m,) beyond the
    last year count as the last.
    """
    years = torch.arange(log_years.shape[1], device=log_years.device, dtype=log_years.dtype)
    ages = ages.clamp(max=float(years[-1]))
    wanted = torch.log_softmax(-((years - ages[:, None]) ** 2) / (2 * sigma**2), dim=1)
    divergence = (wanted.exp() * (wanted - log_years)).sum(dim=1)
    error = (log_years.exp() @ years - ages).abs() / _DECADE
    return divergence + error


def range_loss(log_years: torch.Tensor, ranges: torch.Tensor) -> torch.Tensor:
    """Return (m,): -log of the probability that the age lies in a known range.

    The likelihood of interval-censored data (Klein & Moeschberger, 2003, 'Survival Analysis',
    section 3.5). `ranges` (m, 2) are first and last age; beyond the last year of `log_years`
    (m, years) they count as the last.
    """
    years = torch.arange(log_years.shape[1], device=log_years.device)
    ranges = ranges.clamp(max=float(years[-1]))
    inside = (years >= ranges[:, :1]) & (years <= ranges[:, 1:])
    return -log_years.masked_fill(~inside, -torch.inf).logsumexp(dim=1)


def regression_loss(answers: torch.Tensor, ages: torch.Tensor) -> torch.Tensor:
    """Return (m,): the Huber loss of the age in decades, with its bend at one decade.

    `ages` is (m,), or (m, 2) of ranges: then the loss is that of the nearest age in the range.
    """
    if ages.dim() > 1:
        ages = torch.minimum(torch.maximum(answers.detach(), ages[:, 0]), ages[:, 1])
    return nnf.smooth_l1_loss(answers / _DECADE, ages / _DECADE, reduction="none")
