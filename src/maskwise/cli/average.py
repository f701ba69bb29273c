"""`maskwise average`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from maskwise.cli.output import AsJson, Device, print_json, print_pairs, print_table


def average(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL...", help="Runs or model folders of one architecture."),
    ],
    on: Annotated[Path, typer.Option(help="The manifest that they were trained on.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    how: Annotated[
        Literal["uniform", "greedy"],
        typer.Option(help="All of them; or, from the best on, each that does not lower the score."),
    ] = "uniform",
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Average the weights of models, and estimate the statistics of batch norms anew.

    Scores are of the people that validated the models; a greedy average is chosen by them, so
    other people must tell how good it is.
    """
    from dataclasses import asdict

    from maskwise.settings import load_settings
    from maskwise.training.averaging import average_models

    summary = average_models(models, on, out, how, load_settings().cache, device)
    if as_json:
        print_json(asdict(summary))
        return
    rows = [
        [name, score, "yes" if name in summary.used else "no"]
        for name, score in summary.members.items()
    ]
    print_table(f"{how} average {summary.folder}", ["model", "score", "in it"], rows)
    print_pairs("the average on the validating people", summary.metrics)
