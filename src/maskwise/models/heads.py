"""Heads: from pooled features to the outputs of a model."""

from typing import Final

import torch
from torch import nn
from torch.nn import functional as nnf

from maskwise.config import Boundaries, ModelSettings
from maskwise.labels import NUM_CLASSES, TASKS
from maskwise.models.outputs import AGE, JOINT, YEARS, Outputs, group_log_probabilities

AGES: Final = 101
"""Years that a distribution is over: 0 to 100; older counts as 100."""
_MEAN_AGE: Final = 40.0
_AGE_SPREAD: Final = 20.0


_PLAIN: Final = {"hidden": 0, "head_norm": False, "dropout": 0.0, "cosine_scale": 0.0}
"""Settings of the layers of the age in years, a regression."""


class CosineClasses(nn.Module):
    """A last layer that gives scale x cosine between features and each class's weights.

    From Deng et al., 2019, 'ArcFace', equation 2 without its margin.
    """

    def __init__(self, features: int, classes: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, features))
        nn.init.xavier_uniform_(self.weight)
        self._scale = scale

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return (N, classes) for features (N, features)."""
        # half precision would round the largest scores alike
        with torch.autocast(features.device.type, enabled=False):
            cosine = nnf.linear(nnf.normalize(features.float()), nnf.normalize(self.weight.float()))
            return self._scale * cosine


def build_layers(features: int, classes: int, settings: ModelSettings) -> nn.Module:
    """Return the layers of one output: norms, hidden layer, dropout and last layer as set."""
    layers: list[nn.Module] = []
    if settings.pooled_stages > 1:  # maps of several stages range differently
        layers.append(nn.BatchNorm1d(features, affine=False))
    width = settings.hidden or features
    if settings.hidden:
        layers.append(nn.Linear(features, width))
    if settings.head_norm:
        layers.append(nn.BatchNorm1d(width))
    if settings.hidden:
        layers.append(nn.GELU())
    if settings.hidden or settings.dropout:
        layers.append(nn.Dropout(settings.dropout))
    last = (
        CosineClasses(width, classes, settings.cosine_scale)
        if settings.cosine_scale
        else nn.Linear(width, classes)
    )
    return nn.Sequential(*layers, last) if layers else last


class Heads(nn.ModuleDict):
    """The heads of one backbone.

    A head each for the tasks that are set, or one of all 18 classes ('joint'). The age head may
    see the answers of the other two; their gradients do not pass through it.
    """

    def __init__(
        self,
        features: int,
        settings: ModelSettings,
        boundaries: Boundaries,
    ) -> None:
        super().__init__()
        self._age = settings.age
        self._boundaries = boundaries
        self._sees = {"none": (), "both": ("mask", "gender")}.get(
            settings.age_sees, (settings.age_sees,)
        )
        seen = sum(len(TASKS[task]) for task in self._sees)
        if settings.head == "single":
            self[JOINT] = build_layers(features, NUM_CLASSES, settings)
        else:
            for task in (task for task in TASKS if task in settings.tasks):
                inputs = features + (seen if task == "age_group" else 0)
                self[task] = build_layers(inputs, self._width(task), settings)
        if settings.age_regression and "age_group" in settings.tasks:
            self[AGE] = build_layers(features, 1, settings.model_copy(update=_PLAIN))

    def _width(self, task: str) -> int:
        classes = len(TASKS[task])
        if task != "age_group":
            return classes
        return {"classes": classes, "ordinal": classes - 1, "distribution": AGES}[self._age]

    def forward(self, features: torch.Tensor) -> Outputs:
        """Return the outputs for features (N, features)."""
        outputs: Outputs = {}
        for name, head in self.items():
            if name == "age_group":
                seen = [torch.softmax(outputs[task].detach(), dim=1) for task in self._sees]
                outputs |= self._age_outputs(head(torch.cat([features, *seen], dim=1)))
            elif name == AGE:
                outputs[AGE] = _MEAN_AGE + _AGE_SPREAD * head(features)[:, 0].float()
            else:
                outputs[name] = head(features)
        return outputs

    def _age_outputs(self, values: torch.Tensor) -> Outputs:
        if self._age == "classes":
            return {"age_group": values}
        if self._age == "ordinal":
            return {"age_group": ordinal_log_probabilities(values.float())}
        years = torch.log_softmax(values.float(), dim=1)
        return {YEARS: years, "age_group": group_log_probabilities(years, self._boundaries)}


def ordinal_log_probabilities(steps: torch.Tensor) -> torch.Tensor:
    """Return log probabilities (N, K) of K ordered groups from the logits (N, K - 1) of steps.

    Step k asks whether a member of group k or above is above it, so P(group >= k) is the product
    of the steps below and never rises with k (Shi, Cao & Raschka, 2023, 'CORN', section 3.3). The
    negative log of the truth's probability is that paper's loss of the photo.
    """
    up = nnf.logsigmoid(steps)
    reached = torch.cat([torch.zeros_like(up[:, :1]), up.cumsum(dim=1)], dim=1)
    stop = torch.cat([nnf.logsigmoid(-steps), torch.zeros_like(up[:, :1])], dim=1)
    return reached + stop
