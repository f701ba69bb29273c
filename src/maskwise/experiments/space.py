"""A space of settings to search: what may vary, and between what."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from maskwise.config import Settings
from maskwise.errors import SettingsError, did_you_mean, listed
from maskwise.settings import check_settings, setting_keys
from maskwise.yaml_text import parse_yaml


class Range(BaseModel):
    """Numbers from `low` to `high`, both included."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: int | float
    high: int | float
    log: bool = False
    """Drawn evenly by orders of magnitude."""
    step: int | float | None = None
    """Only every so-manyth number."""

    @model_validator(mode="after")
    def _rises(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs low above 0, and no step")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise ValueError(f"step {self.step:g} is not from 0 to high - low")
        return self


class WholeRange(Range):
    """Whole numbers from `low` to `high`, both included, of a setting that is a whole number."""

    low: int
    high: int
    step: int | None = None


Space = dict[str, Range | list[Any]]
"""Key of a setting -> the numbers or the values that it may have."""


def read_space(path: Path, base: Settings) -> Space:
    """Read a space, and check that each end and each choice is a setting's value.

    Raises:
        SettingsError: the file is wrong; all problems at once.
    """
    try:
        tree = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        raise SettingsError(f"cannot read the space {path}: {error}") from error
    if not isinstance(tree, dict) or not tree:
        raise SettingsError(
            f"{path}: expected settings and what they may be, such as 'optim.lr: {{low: 1.0e-4, "
            "high: 1.0e-2, log: true}' or 'model.head: [multi, single]'"
        )
    space: Space = {}
    problems: list[str] = []
    for key, value in tree.items():
        found, wrong = _part(str(key), value, base)
        problems += wrong
        if found is not None:
            space[str(key)] = found
    if problems:
        raise SettingsError(f"{path}: {len(problems)} problem(s):\n{listed(problems)}")
    return space


def _part(key: str, value: Any, base: Settings) -> tuple[Range | list[Any] | None, list[str]]:
    keys = setting_keys()
    if key not in keys:
        return None, [f"{key}: no such setting{did_you_mean(key, keys)}"]
    if isinstance(value, list) and len(value) > 1:
        return value, list(_wrong_values(key, value, base))
    if not isinstance(value, dict):
        return None, [f"{key}: expected two choices or more, or low and high; found {value!r}"]
    kind = Range if _takes_fractions(key, base) else WholeRange
    try:
        found = kind.model_validate(value)
    except ValidationError as error:
        text = "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
        return None, [f"{key}: {text}"]
    return found, list(_wrong_values(key, [found.low, found.high], base))


def _wrong_values(key: str, values: list[Any], base: Settings) -> Iterator[str]:
    """Yield what is wrong with values of a setting alone; what goes with what, trials find out."""
    section, _, name = key.partition(".")
    for value in values:
        tree = {**base.model_dump(mode="json")[section]}
        try:
            type(getattr(base, section)).model_validate({**tree, **_nested(name, value)})
        except ValidationError as error:
            own = [item for item in error.errors() if item["loc"] and item["loc"][0] == name]
            yield from (f"{key}: {value!r}: {item['msg']}" for item in own)


def _takes_fractions(key: str, base: Settings) -> bool:
    """Return whether a setting may be other than a whole number: pydantic names what it expects."""
    section, _, name = key.partition(".")
    tree = {**base.model_dump(mode="json")[section]}
    try:
        type(getattr(base, section)).model_validate({**tree, **_nested(name, 0.5)})
    except ValidationError as error:
        return not any(item["type"].startswith("int") for item in error.errors())
    return True


def _nested(name: str, value: Any) -> dict[str, Any]:
    first, _, rest = name.partition(".")
    return {first: _nested(rest, value) if rest else value}


def suggested(trial: optuna.Trial | optuna.trial.FrozenTrial, space: Space) -> dict[str, Any]:
    """Return the value of each setting in a trial."""
    values: dict[str, Any] = {}
    for key, part in space.items():
        if isinstance(part, list):
            place = trial.suggest_categorical(key, range(len(part)))
            values[key] = part[place]
        elif isinstance(part, WholeRange):
            values[key] = trial.suggest_int(
                key, part.low, part.high, step=part.step or 1, log=part.log
            )
        else:
            values[key] = trial.suggest_float(
                key, part.low, part.high, step=part.step, log=part.log
            )
    return values


def with_values(base: Settings, values: Mapping[str, Any]) -> Settings:
    """Return settings with some values changed.

    Raises:
        SettingsError: they do not go together.
    """
    tree = base.model_dump(mode="json")
    for key, value in values.items():
        *sections, name = key.split(".")
        place = tree
        for section in sections:
            place = place[section]
        place[name] = value
    return check_settings(tree)
