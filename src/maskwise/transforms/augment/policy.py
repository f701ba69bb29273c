"""Policies of several changes: RandAugment, TrivialAugment, and policies that a search found."""

from pathlib import Path
from typing import Annotated, Final, Literal

import torch
import yaml
from kornia.augmentation.auto import AutoAugment, RandAugment, TrivialAugment
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from maskwise.config import AugmentSettings
from maskwise.config.base import Share, wrong_values
from maskwise.errors import SettingsError, listed
from maskwise.storage import write_text
from maskwise.transforms.augment.draws import Draws
from maskwise.yaml_text import parse_yaml

PolicyChange = Literal[
    "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "auto_contrast", "invert",
    "equalize", "solarize", "posterize", "contrast", "brightness", "sharpness", "color",
]  # fmt: skip
STRENGTHS: Final = 10
"""Steps of strength that a change has; of those that go both ways the middle does least."""


class PolicyStep(BaseModel):
    """One change of a policy: one of AutoAugment's (Cubuk et al., 2019), as Kornia makes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    change: PolicyChange
    probability: Share
    strength: Annotated[int, Field(ge=0, lt=STRENGTHS)]


class Policy(BaseModel):
    """A photo gets one of the sequences, in whose order changes are made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sequences: Annotated[tuple[tuple[PolicyStep, ...], ...], Field(min_length=1)]


def read_policy(path: Path) -> Policy:
    """Read a policy that a search wrote.

    Raises:
        SettingsError: there is no such file, or it holds something else.
    """
    try:
        return Policy.model_validate(parse_yaml(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SettingsError(
            f"augment.policy: cannot read {path} ({error.strerror}); take none, randaugment, "
            "trivialaugment, or a file that maskwise search augment wrote"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"augment.policy: {path} is not YAML: {error}") from error
    except ValidationError as error:
        problems = listed(wrong_values(error))
        raise SettingsError(f"augment.policy: {path} is no policy:\n{problems}") from error


def write_policy(path: Path, policy: Policy) -> None:
    """Write a policy to a file.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    write_text(path, yaml.safe_dump(policy.model_dump(mode="json"), sort_keys=False))


def build_policy(settings: AugmentSettings) -> nn.Module | None:
    """Return the policy that settings name, or None.

    Raises:
        SettingsError: it is a file that cannot be used.
    """
    if settings.policy == "none":
        return None
    if settings.policy == "randaugment":
        built = RandAugment(n=settings.randaugment_count, m=settings.randaugment_strength)
    elif settings.policy == "trivialaugment":
        built = TrivialAugment()
    else:
        policy = read_policy(Path(settings.policy).expanduser())
        sequences = [
            [(step.change, step.probability, step.strength) for step in sequence]
            for sequence in policy.sequences
        ]
        built = AutoAugment(sequences)
    module: nn.Module = built
    return module


def apply_policy(
    photos: torch.Tensor, draws: Draws, policy: nn.Module, settings: AugmentSettings
) -> None:
    """Change some photos (n, 3, height, width) of values 0..1 in place, each by its own draw."""
    chosen = draws.chosen("policy", settings.policy_share)
    devices = [photos.device] if photos.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        for photo in chosen:
            torch.manual_seed(draws.seeds[photo])  # Kornia draws from the global generator
            photos[photo] = policy(photos[photo : photo + 1].clamp(0, 1))[0]
