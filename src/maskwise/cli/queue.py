"""`maskwise queue`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskwise.cli.output import AsJson, console, end_like_an_interrupt, print_json, print_table

if TYPE_CHECKING:
    from maskwise.experiments.queue import Result


def queue(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Settings files wait in DIR/queue.")
    ],
    on: Annotated[Path | None, typer.Option(help="The manifest of files that name none.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Trainings at the same time.")] = 1,
    devices: Annotated[
        str | None, typer.Option(help="GPUs, one for each worker in turn: 0,1.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Wait for more files when none is left.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train what the files in DIR/queue ask for, one after another.

    A file holds settings of training as YAML or JSON, and `manifest` beside them.
    Files may be added while it works. Interrupted and started again it goes on where it was.
    """
    from dataclasses import asdict

    from maskwise.experiments.queue import Queue

    end_like_an_interrupt()
    named = devices.split(",") if devices else [""]
    each = [named[number % len(named)] for number in range(workers)]
    results = Queue(folder, on, each, _say).work(watch)
    if as_json:
        print_json([asdict(result) for result in results])
    else:
        _print(results)
    if any(result.state == "failed" for result in results):
        raise typer.Exit(2)


def _say(result: "Result") -> None:
    score = f"  macro-F1 {result.macro_f1:.4f}" if result.macro_f1 is not None else ""
    text = f"{result.name}: {result.state}{score}  {result.error}".rstrip()
    console().print(text, soft_wrap=True)


def _print(results: "list[Result]") -> None:
    ordered = sorted(results, key=lambda result: -(result.macro_f1 or 0))
    print_table(
        "trainings",
        ["name", "state", "macro-F1", "score", "epochs", "s", "error"],
        [
            [r.name, r.state, r.macro_f1, r.score, r.epochs, r.seconds, r.error or None]
            for r in ordered
        ],
    )
