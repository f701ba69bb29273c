"""Settings of what is minimised."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from maskwise.config.base import NotNegative, PartialShare, Positive, Section
from maskwise.labels import NUM_CLASSES, TASKS

Term = Literal["ce", "focal", "soft_f1", "symmetric", "bce", "arcface"]
Terms = dict[Term, Positive]
"""Losses and their weights in a sum."""
Output = Literal["mask", "gender", "age_group", "joint"]


class TaskWeights(Section):
    """Weight of each task's loss in the sum."""

    mask: NotNegative = 1.0
    gender: NotNegative = 1.0
    age_group: NotNegative = 1.0

    def problems(self) -> Iterator[str]:
        """Yield what cannot stand together."""
        if not (self.mask + self.gender + self.age_group):
            yield "at least one task must weigh more than 0"


class LossSettings(Section):
    """A weighted sum of losses over known labels."""

    terms: Terms = Field(default={"ce": 1.0}, min_length=1)
    """Losses of each output and their weights: ce, focal, soft_f1, symmetric, bce, arcface."""
    mask: Annotated[Terms, Field(min_length=1)] | None = None
    """Losses of this task in place of `terms`; likewise for the next two."""
    gender: Annotated[Terms, Field(min_length=1)] | None = None
    """See mask."""
    age_group: Annotated[Terms, Field(min_length=1)] | None = None
    """See mask."""
    joint: Terms = Field(default_factory=dict)
    """Losses of the 18 classes that heads apart make together, added to those of the tasks."""
    task_weights: TaskWeights = TaskWeights()
    task_weighting: Literal["fixed", "uncertainty"] = "fixed"
    """fixed: task_weights as they stand; uncertainty: times weights that are learnt (Kendall)."""
    label_smoothing: PartialShare = 0.0
    """Of ce: share of a label's weight that is spread over all classes."""
    focal_gamma: NotNegative = 2.0
    """Of focal: power of 1 - probability of the truth; 0 is ce."""
    symmetric_alpha: NotNegative = 0.1
    """Of symmetric: weight of the cross-entropy in it."""
    symmetric_beta: NotNegative = 1.0
    """Of symmetric: weight of the reverse cross-entropy in it."""
    arcface_margin: Annotated[float, Field(gt=0, lt=1.57)] = 0.5
    """Of arcface: angle in radians that is added between features and truth."""
    class_weights: Literal["none", "sqrt", "balanced", "effective"] = "none"
    """Weight of a class: 1; 1 / sqrt(count); 1 / count; 1 / effective number; mean 1 per photo."""
    effective_beta: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Of effective: the number of n photos is (1 - beta^n) / (1 - beta)."""
    class_weight_lists: dict[Output, tuple[NotNegative, ...]] = Field(default_factory=dict)
    """Weights of classes as given, in place of class_weights: {age_group: [1, 1, 2]}."""
    age_distribution: NotNegative = 1.0
    """Weight, in the age's loss, of that of the years, where model.age=distribution."""
    age_sigma: Annotated[float, Field(ge=0.5, le=20)] = 3.0
    """Deviation in years of the distribution that a known age is taught as."""
    age_regression: NotNegative = 1.0
    """Weight, in the age's loss, of the error in decades, where model.age_regression is on."""

    def problems(self) -> Iterator[str]:
        """Yield what cannot stand together."""
        sizes = {task: len(words) for task, words in TASKS.items()} | {"joint": NUM_CLASSES}
        for output, weights in self.class_weight_lists.items():
            size = sizes[output]
            if len(weights) != size:
                yield f"class_weight_lists: {output} has {size} classes, not {len(weights)}"
            if weights and not any(weights):
                yield f"class_weight_lists: {output} has weights of 0 only"

    def terms_of(self, task: str) -> Terms:
        """Return the losses of a task: its own, or else those of every output."""
        own: Terms | None = getattr(self, task)
        return self.terms if own is None else own
