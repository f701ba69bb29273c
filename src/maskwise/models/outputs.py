"""What a network gives for N photos, and the probabilities in it.

A head each for the tasks gives 'mask' (N, 3), 'gender' (N, 2) and 'age_group' (N, 3): scores whose
softmax are probabilities. The single head gives 'joint' (N, 18). Besides there may be 'age_years'
(N, 101), log probabilities of years, and 'age' (N,), in years.
"""

from typing import Final

import torch

from maskwise.config import Boundaries
from maskwise.labels import TASKS

JOINT: Final = "joint"
"""Name of the scores of the 18 classes that the single head gives."""
YEARS: Final = "age_years"
AGE: Final = "age"
LOG_VARIANCES: Final = "log_variances"
"""Name of the learnt (3,) of the tasks' losses, where they are weighed by uncertainty."""
Outputs = dict[str, torch.Tensor]


def task_log_probabilities(outputs: Outputs) -> Outputs:
    """Return log probabilities per task: 'mask' (N, 3), 'gender' (N, 2), 'age_group' (N, 3).

    Those of the single head are sums over its classes. Tasks that the network does not answer have
    equal probabilities.
    """
    if JOINT not in outputs:
        some = next(iter(outputs.values()))
        return {
            task: torch.log_softmax(
                outputs.get(task, some.new_zeros(some.shape[0], len(words))).float(), dim=1
            )
            for task, words in TASKS.items()
        }
    cube = torch.log_softmax(outputs[JOINT].float(), dim=1).view(-1, 3, 2, 3)
    return {
        "mask": torch.logsumexp(cube, dim=(2, 3)),
        "gender": torch.logsumexp(cube, dim=(1, 3)),
        "age_group": torch.logsumexp(cube, dim=(1, 2)),
    }


def joint_log_probabilities(outputs: Outputs) -> torch.Tensor:
    """Return log probabilities (N, 18) of the classes; heads apart count as independent."""
    if JOINT in outputs:
        return torch.log_softmax(outputs[JOINT].float(), dim=1)
    tasks = task_log_probabilities(outputs)
    joint = (
        tasks["mask"][:, :, None, None]
        + tasks["gender"][:, None, :, None]
        + tasks["age_group"][:, None, None, :]
    )
    return joint.flatten(1)


def group_log_probabilities(years: torch.Tensor, boundaries: Boundaries) -> torch.Tensor:
    """Return log probabilities (N, 3) of age groups from those of years (N, 101)."""
    low, high = boundaries
    parts = (years[:, :low], years[:, low:high], years[:, high:])
    return torch.stack([torch.logsumexp(part, dim=1) for part in parts], dim=1)


def answered_ages(outputs: Outputs) -> torch.Tensor | None:
    """Return the ages in years (N,) that a network tells, or None where it tells groups only.

    The mean of the distribution of years, the regressed age, or the mean of both.
    """
    told = []
    if YEARS in outputs:
        years = torch.arange(outputs[YEARS].shape[1], device=outputs[YEARS].device)
        told.append(outputs[YEARS].exp() @ years.float())
    if AGE in outputs:
        told.append(outputs[AGE].float().clamp(0, 120))
    return torch.stack(told).mean(dim=0) if told else None
