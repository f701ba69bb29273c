"""Whether an exported file answers as the model that it was made from."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskwise.errors import RunError, listed
from maskwise.evaluation.metrics import confusion_matrix, macro_f1
from maskwise.labels import NUM_CLASSES, TASKS, UNKNOWN
from maskwise.models.decision import Decision
from maskwise.models.onnx_file import Precision
from maskwise.models.probabilities import Probabilities


@dataclass(frozen=True)
class Limits:
    """How far an exported file may be from its model."""

    difference: float
    """Of any probability."""
    agreement: float
    """Least share of photos answered with the same class."""
    loss: float
    """Of macro-F1 over the 18 classes, where labels are known."""
    years: float
    """Mean difference of the ages told."""


LIMITS: Final[dict[Precision, Limits]] = {
    "fp32": Limits(difference=1e-3, agreement=0.999, loss=0.002, years=0.1),
    "fp16": Limits(difference=0.1, agreement=0.98, loss=0.005, years=0.5),
    "int8": Limits(difference=1.0, agreement=0.9, loss=0.01, years=2.0),
}


@dataclass(frozen=True)
class Compared:
    """How an exported file differs from its model on the same photos."""

    photos: int
    max_difference: float
    """Largest difference of a probability, of the classes or of a task."""
    mean_difference: float
    """Mean difference of the probabilities of the classes."""
    age_difference: float | None
    """Largest difference of an age, in years."""
    mean_age_difference: float | None
    agreement: float
    """Share of photos answered with the same class."""
    task_agreement: dict[str, float]
    labelled: int
    """Photos that carry all three labels."""
    macro_f1: float | None
    """Of the file over the 18 classes; None where no photo has all labels."""
    model_macro_f1: float | None


def compare(
    model: Probabilities,
    file: Probabilities,
    decision: Decision,
    truth: NDArray[np.int64],
) -> Compared:
    """Return how calibrated answers differ; `truth` (N,) has classes, or `UNKNOWN`."""
    pairs = [(model.joint, file.joint), *((model.tasks[t], file.tasks[t]) for t in TASKS)]
    ours, theirs = decision.classes(model), decision.classes(file)
    told = ~np.isnan(model.ages)
    if (np.isnan(file.ages) == told).any():
        raise RunError("the exported file tells ages of other photos than the model")
    years = abs(model.ages - file.ages)[told]
    known = truth != UNKNOWN

    def scored(answers: NDArray[np.int64]) -> float | None:
        if not known.any():
            return None
        return macro_f1(confusion_matrix(truth[known], answers[known], NUM_CLASSES))

    return Compared(
        photos=len(ours),
        max_difference=float(np.max([abs(a - b).max() for a, b in pairs])),  # NaN stays NaN
        mean_difference=float(abs(model.joint - file.joint).mean()),
        age_difference=float(years.max()) if told.any() else None,
        mean_age_difference=float(years.mean()) if told.any() else None,
        agreement=float((ours == theirs).mean()),
        task_agreement={
            task: float((model.tasks[task].argmax(1) == file.tasks[task].argmax(1)).mean())
            for task in TASKS
        },
        labelled=int(known.sum()),
        macro_f1=scored(theirs),
        model_macro_f1=scored(ours),
    )


def check(compared: Compared, limits: Limits) -> None:
    """Check that a file is near enough to its model.

    Raises:
        RunError: it is not; with all figures that are past their limits.
    """
    problems = list(_problems(compared, limits))
    if problems:
        raise RunError(
            f"the exported file answers {compared.photos} photos too unlike the model, and is not "
            f"written:\n{listed(problems)}"
        )


def _problems(compared: Compared, limits: Limits) -> Iterator[str]:
    if not compared.max_difference <= limits.difference:
        yield (
            f"probabilities differ by up to {compared.max_difference:.4g}; limit "
            f"{limits.difference:g}"
        )
    if compared.agreement < limits.agreement:
        yield (
            f"{compared.agreement:.4f} of the answers are the same; limit {limits.agreement:g} "
            "(--min-agreement)"
        )
    if compared.mean_age_difference is not None and compared.mean_age_difference > limits.years:
        yield (
            f"ages differ by {compared.mean_age_difference:.2f} years in the mean; limit "
            f"{limits.years:g}"
        )
    if compared.macro_f1 is not None and compared.model_macro_f1 is not None:
        fall = compared.model_macro_f1 - compared.macro_f1
        if fall > limits.loss:
            yield (
                f"macro-F1 falls from {compared.model_macro_f1:.4f} to {compared.macro_f1:.4f}; "
                f"limit {limits.loss:g} (--max-loss)"
            )


def figures(compared: Compared) -> dict[str, object]:
    """Return what a file says of its check, rounded."""
    return {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in asdict(compared).items()
    }
