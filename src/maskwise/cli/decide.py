"""`maskwise decide`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from maskwise.cli.output import AsJson, Device, photo_bar, print_json, print_table

if TYPE_CHECKING:
    from maskwise.prediction.deciding import Labelled
    from maskwise.prediction.members import Member


def decide(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run, a model, an ensemble.")],
    on: Annotated[
        Path, typer.Option(help="A manifest: labels of photos that it was not trained on.")
    ],
    fold: Annotated[
        str | None, typer.Option(help="Its fold that is answered; else what the model left out.")
    ] = None,
    temperature: Annotated[
        bool, typer.Option("--temperature", help="Calibrate each task.")
    ] = False,
    thresholds: Annotated[
        bool, typer.Option("--thresholds", help="Weigh the 18 classes for macro-F1.")
    ] = False,
    rule: Annotated[
        Literal["joint", "tasks"],
        typer.Option(help="Answer the likeliest class, or the likeliest word of each task."),
    ] = "joint",
    prior: Annotated[
        str | None,
        typer.Option(help="Shares of the classes in use: uniform, or a labelled manifest's."),
    ] = None,
    unsure: Annotated[
        float, typer.Option(min=0, max=1, help="Call answers below this probability unsure.")
    ] = 0.0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Set how a model's probabilities become answers; it is kept in the model's folder.

    What is found, is found on photos that the model left out. How good it is there, other people
    must tell: a figure is given where each is answered by what was found on others.
    """
    from maskwise.models.ensemble import load_classifier, save_decision
    from maskwise.prediction.deciding import (
        Wanted,
        check_wanted,
        crossed_figures,
        decision_figures,
        find_decision,
    )
    from maskwise.prediction.members import Member

    check_wanted(rule, thresholds)
    classifier = load_classifier(model, undecided=True)
    shares = _shares(prior, classifier.boundaries)
    wanted = Wanted(temperature, thresholds, rule, shares, unsure)
    data = _labelled(Member(model.name, model, classifier), on, fold, device)
    decision = find_decision(data, wanted)
    file = save_decision(model, decision)
    plain = find_decision(data, Wanted())
    result = {
        "file": str(file),
        "photos": len(data.people),
        "before": decision_figures(data, plain),
        "after": decision_figures(data, decision),
        "crossed": crossed_figures(data, lambda part: find_decision(part, wanted)),
        "decision": decision.model_dump(mode="json"),
    }
    if as_json:
        print_json(result)
        return
    names = {"before": "before", "after": "after", "crossed": "after, found on other people"}
    rows = []
    for key, name in names.items():
        figures = result[key]
        errors = figures["calibration_error"]  # type: ignore[index] # a dictionary
        rows.append([name, figures["macro_f1"], figures["accuracy"], *errors.values()])  # type: ignore[index]
    columns = ["", "macro-F1", "accuracy", "ECE mask", "ECE gender", "ECE age group"]
    print_table(f"{result['photos']} photos that {model} was not trained on", columns, rows)
    typer.echo(f"decision {file}")


def _shares(prior: str | None, boundaries: tuple[int, int]) -> tuple[float, ...]:
    """Return the wanted share of each class, or none."""
    import numpy as np

    from maskwise.config import LabelSettings
    from maskwise.data.manifest import read_manifest
    from maskwise.data.targets import class_codes, task_codes
    from maskwise.errors import ManifestError
    from maskwise.labels import NUM_CLASSES, UNKNOWN

    if prior is None:
        return ()
    if prior == "uniform":
        return (1 / NUM_CLASSES,) * NUM_CLASSES
    labels = LabelSettings(task_boundaries=boundaries, train_boundaries=boundaries)
    frame = read_manifest(Path(prior), boundaries, check_photos=False)
    classes = class_codes(task_codes(frame, labels))
    counts = np.bincount(classes[classes != UNKNOWN], minlength=NUM_CLASSES)
    if not counts.all():
        absent = ", ".join(str(number) for number in np.flatnonzero(counts == 0))
        raise ManifestError(f"--prior {prior}: no photo is of the classes {absent}")
    return tuple((counts / counts.sum()).tolist())


def _labelled(member: "Member", on: Path, fold: str | None, device: str) -> "Labelled":
    from maskwise.prediction.deciding import Labelled
    from maskwise.prediction.members import known_answers
    from maskwise.settings import load_settings

    with photo_bar("answering", None) as advance:
        known, _ = known_answers(
            [member],
            on,
            fold,
            load_settings().cache,
            device,
            advance,
        )
    return Labelled(known.members[0], known.codes, known.people)
