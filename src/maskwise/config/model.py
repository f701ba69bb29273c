"""Settings of the network."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field

from maskwise.config.base import NotNegative, PartialShare, Section
from maskwise.labels import TASKS

Task = Literal["mask", "gender", "age_group"]
BUNDLED: Final = "bundled"
"""The `pretrained` that asks for the weights of the model in the package."""
BUNDLED_BACKBONE: Final = "mobilenetv1_100"


class ModelSettings(Section):
    """Backbone, head and first weights."""

    backbone: str = "tf_efficientnet_lite0"
    """Any model name of timm."""
    head: Literal["multi", "single", "tasks"] = "multi"
    """multi: a head for each task; single: one of the 18 classes; tasks: a network for each."""
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)] = ("mask", "gender", "age_group")
    """Tasks that it learns; one that lacks some can be evaluated, or be started from."""
    pooled_stages: Annotated[int, Field(ge=1, le=8)] = 1
    """Last stages of the backbone whose pooled maps the heads see; above 1 they are normalised."""
    hidden: Annotated[int, Field(ge=0, le=8192)] = 0
    """Width of a hidden layer before the classes; 0 is none."""
    head_norm: bool = False
    """Batch norm in the head: of the hidden layer, or of the features where there is none."""
    dropout: PartialShare = 0.0
    """Share of what enters the last layer that is dropped in training."""
    dropout_samples: Annotated[int, Field(ge=1, le=32)] = 1
    """Dropped-out copies of each photo's features whose losses are averaged."""
    cosine_scale: NotNegative = 0.0
    """0: the last layer is linear; else it gives this times the cosine to each class (64)."""
    age: Literal["classes", "ordinal", "distribution"] = "classes"
    """Age groups as classes, as ordered steps, or as sums over a distribution of years 0 to 100."""
    age_sees: Literal["none", "gender", "mask", "both"] = "none"
    """Which other answers the age head is given beside the features."""
    age_regression: bool = False
    """Learn the age in years beside the groups, where it is known; answers then tell it."""
    pretrained: str = "auto"
    """auto: an installed weight package, else timm's hub; hub; bundled; none; a file; or a run."""
    pretrained_heads: bool = False
    """Begin with the heads of the run in `pretrained`, too: they must be like those set here."""
    drop_path: PartialShare = 0.0
    """Stochastic depth of the backbone: share of its blocks that are skipped, in training."""

    def problems(self) -> Iterator[str]:
        """Yield what cannot stand together."""
        if self.dropout_samples > 1 and not self.dropout:
            yield "dropout_samples differ by dropout only: set dropout, such as 0.3, too"
        if self.head == "single" and (self.age != "classes" or self.age_sees != "none"):
            yield "the single head has no age head: age and age_sees act on multi and tasks only"
        if len(set(self.tasks)) < len(self.tasks):
            yield f"tasks names one twice: {', '.join(self.tasks)}"
        if self.head != "multi" and len(self.tasks) < len(TASKS):
            yield f"head={self.head} is of all tasks: tasks acts on multi only"
        yield from self._first_head_problems()
        if self.head == "multi":
            seen = {"none": [], "both": ["mask", "gender"]}.get(self.age_sees, [self.age_sees])
            missing = [task for task in seen if task not in self.tasks]
            if missing and "age_group" in self.tasks:
                yield f"age_sees needs {' and '.join(missing)} among tasks"
        if self.head == "tasks" and self.age_sees != "none":
            yield "networks apart see no answers of each other: age_sees needs multi"
        if self.cosine_scale and self.age != "classes":
            yield f"cosine_scale needs classes, and age={self.age} has none"

    def _first_head_problems(self) -> Iterator[str]:
        if self.pretrained == BUNDLED and self.backbone != BUNDLED_BACKBONE:
            yield (
                f"pretrained=bundled, the bundled model, is a {BUNDLED_BACKBONE}: set backbone to "
                f"it instead of {self.backbone}"
            )
        if not self.pretrained_heads:
            return
        if self.pretrained in ("auto", "hub", "none"):
            yield f"pretrained_heads are those of a run, and pretrained={self.pretrained} is none"
        if self.head == "tasks":
            yield "pretrained_heads are of one network: they cannot go with head=tasks"
