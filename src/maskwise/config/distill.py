"""Settings of learning from another model's answers."""

from typing import Annotated

from pydantic import Field

from maskwise.config.base import Positive, Section


class DistillSettings(Section):
    """Learning from probabilities: of a teacher, or of a manifest that has them beside labels."""

    teacher: str = ""
    """A model, an ensemble, or a CSV file of probabilities; empty: those in the manifest only."""
    weight: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Share of a photo's loss that is the teacher's, where there are answers of one."""
    temperature: Positive = 2.0
    """Above 1 the teacher's second thoughts count more (Hinton et al., 2015)."""
