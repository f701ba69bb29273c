"""The losses of one output, over m weighed entries of photos.

Each returns a sum, not a mean, so that parts of a batch add up; `soft_f1`, which is of a batch as
a whole, returns its value times the entries' weight.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch.nn import functional as nnf

from maskwise.config import LossSettings

_LOG_ZERO: Final = -4.0
"""What symmetric cross-entropy takes for the log of 0; A in its paper."""


@dataclass(frozen=True)
class Scored:
    """An output's scores for m entries, and what is known of them."""

    scores: torch.Tensor
    """(m, classes), whose softmax are probabilities."""
    allowed: torch.Tensor
    """(m, classes) of bool: the classes that agree with what is known."""
    weight: torch.Tensor
    """(m,): share of the photo times weight of its class; 0 where nothing is known."""
    settings: LossSettings
    cosine_scale: float = 0.0
    """What the scores were multiplied with, where they are cosines."""

    @property
    def log_p(self) -> torch.Tensor:
        """Log probabilities (m, classes)."""
        return torch.log_softmax(self.scores, dim=1)

    @property
    def log_truth(self) -> torch.Tensor:
        """Log probability (m,) of all classes that are allowed together."""
        return torch.logsumexp(self.log_p.masked_fill(~self.allowed, -torch.inf), dim=1)

    @property
    def certain(self) -> torch.Tensor:
        """(m,): the weight where exactly one class is allowed, else 0."""
        return self.weight * (self.allowed.sum(dim=1) == 1)


def cross_entropy(scored: Scored) -> torch.Tensor:
    """Return -(1 - e) log p(truth) - e mean_c log p(c), with e the label smoothing.

    Szegedy et al., 2016, 'Rethinking the Inception Architecture', section 7. Of labels that are
    known in part, p(truth) is the probability of all classes that agree with them.
    """
    smoothing = scored.settings.label_smoothing
    each = -(1 - smoothing) * scored.log_truth
    if smoothing:
        each = each - smoothing * scored.log_p.mean(dim=1)
    return (each * scored.weight).sum()


def focal(scored: Scored) -> torch.Tensor:
    """Return -(1 - p)^gamma log p of the truth's probability p (Lin et al., 2017, equation 4)."""
    log_p = scored.log_truth.clamp(max=0)
    doubt = (1 - log_p.exp()).clamp(min=1e-6)  # a root has no gradient at 0
    each = -(doubt**scored.settings.focal_gamma) * log_p
    return (each * scored.weight).sum()


def symmetric_cross_entropy(scored: Scored) -> torch.Tensor:
    """Return alpha CE + beta RCE, with RCE = -sum_c p(c) log q(c) = 4 (1 - p(truth)).

    The labels' q is 0 or 1, and log 0 is taken as -4 (Wang et al., 2019, equations 4 to 7).
    """
    settings, log_p = scored.settings, scored.log_truth
    reverse = -_LOG_ZERO * (1 - log_p.exp())
    each = -settings.symmetric_alpha * log_p + settings.symmetric_beta * reverse
    return (each * scored.weight).sum()


def binary_cross_entropy(scored: Scored) -> torch.Tensor:
    """Return the mean over classes of -log s(c) for the truth and -log(1 - s(c)) for the others.

    s is the sigmoid of the score. Of labels known in part, classes that may be true are left out.
    """
    wrong = -nnf.logsigmoid(-scored.scores) * ~scored.allowed
    single = scored.allowed & (scored.allowed.sum(dim=1, keepdim=True) == 1)
    right = -nnf.logsigmoid(scored.scores) * single
    return ((wrong + right).mean(dim=1) * scored.weight).sum()


def arcface(scored: Scored) -> torch.Tensor:
    """Return the cross-entropy of s cos(t + m) for the truth and s cos(t) for other classes.

    t is the angle between features and class, s the scale and m the margin (Deng et al., 2019,
    equation 3). Where t + m would pass pi the score falls on linearly, as in the authors' code.
    """
    scale = scored.cosine_scale
    margin = torch.tensor(scored.settings.arcface_margin)
    cosine = (scored.scores / scale).clamp(-1, 1)
    sine = (1 - cosine**2).clamp(min=1e-12).sqrt()
    moved = cosine * torch.cos(margin) - sine * torch.sin(margin)
    beyond = cosine - torch.sin(margin) * margin
    moved = torch.where(cosine > -torch.cos(margin), moved, beyond)
    with_margin = torch.where(scored.allowed, scale * moved, scored.scores)
    log_p = torch.log_softmax(with_margin, dim=1)
    truth = torch.where(scored.allowed, log_p, 0.0).sum(dim=1)
    return -(truth * scored.certain).sum()


def soft_f1(scored: Scored) -> torch.Tensor:
    """Return 1 - mean F1 over the classes that are true in the batch, from probabilities.

    With p and y the probabilities and truths of a class, F1 is 2 sum(p y) / (sum p + sum y): macro-
    F1 whose counts are expectations. Where a batch is cut into parts it is of each part. Only
    photos whose class is known count.
    """
    weight = scored.certain[:, None]
    truth = scored.allowed * weight
    answered = scored.log_p.exp() * weight
    both = (scored.log_p.exp() * truth).sum(dim=0)
    total = truth.sum(dim=0)
    f1 = 2 * both / (answered.sum(dim=0) + total).clamp(min=1e-12)
    present = total > 0
    if not present.any():
        return (0.0 * scored.scores).sum()
    return (1 - f1[present].mean()) * weight.sum()


TERMS: Final[dict[str, Callable[[Scored], torch.Tensor]]] = {
    "ce": cross_entropy,
    "focal": focal,
    "soft_f1": soft_f1,
    "symmetric": symmetric_cross_entropy,
    "bce": binary_cross_entropy,
    "arcface": arcface,
}
