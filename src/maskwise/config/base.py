"""What all settings share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
PartialShare = Annotated[float, Field(ge=0, lt=1)]
UserPath = Annotated[Path, AfterValidator(Path.expanduser)]
"""A path that may begin with ~."""


class Section(BaseModel):
    """A frozen group of settings; unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    def problems(self) -> Iterator[str]:
        """Yield what cannot stand together in this group, each with what to do."""
        yield from ()

    @model_validator(mode="after")
    def _stand_together(self) -> Self:
        problems = list(self.problems())
        if problems:
            raise ValueError("\n".join(problems))
        return self


def wrong_values(error: ValidationError) -> list[str]:
    """Return what is wrong in a file that was read, by key."""
    return [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
