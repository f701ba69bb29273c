"""`maskwise ensemble`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from maskwise.cli.output import AsJson, Device, photo_bar, print_json, print_table

if TYPE_CHECKING:
    from maskwise.prediction.ensembling import Ensembled, Wish

_FOUND = ("equal", "greedy", "loss", "tasks")


def ensemble(
    members: Annotated[
        list[Path],
        typer.Argument(
            metavar="MEMBER...",
            help="Run folders, cross-validations, ensembles; or CSV files of probabilities.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    on: Annotated[
        Path | None,
        typer.Option(help="A manifest: labels of photos that no member was trained on."),
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option(help="Its fold that is answered; else what each member left out."),
    ] = None,
    vote: Annotated[
        Literal["soft", "hard", "stack"],
        typer.Option(help="Mean of probabilities, vote of answers, or a model over both."),
    ] = "soft",
    weights: Annotated[
        str,
        typer.Option(help="equal, greedy, loss, tasks (each task's own), or numbers: 2,1,1."),
    ] = "equal",
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Make one model of several; it is used like any other.

    With --on it says what that is worth, and finds weights: on photos that members left out.
    """
    from dataclasses import asdict

    summary = _made(members, out, on, fold, _wish(vote, weights), device)
    if as_json:
        print_json(asdict(summary))
        return
    _print(summary)


def _wish(vote: Literal["soft", "hard", "stack"], weights: str) -> "Wish":
    from maskwise.prediction.ensembling import Wish

    for name in _FOUND:
        if weights == name:
            return Wish(vote, name)  # type: ignore[arg-type] # one of the literals
    try:
        numbers = tuple(float(part) for part in weights.split(","))
    except ValueError as error:
        raise typer.BadParameter(
            f"--weights {weights!r}: expected {', '.join(_FOUND)}, or a number for each member"
        ) from error
    if vote == "stack":
        raise typer.BadParameter("--vote stack finds its own weights: leave --weights away")
    return Wish(vote, numbers)


def _made(
    paths: list[Path],
    out: Path,
    on: Path | None,
    fold: str | None,
    wish: "Wish",
    device: str,
) -> "Ensembled":
    from maskwise.prediction.ensembling import make_ensemble
    from maskwise.prediction.members import known_answers, open_members
    from maskwise.settings import load_settings

    members = open_members(paths)
    known = None
    if on:
        with photo_bar("answering", None) as advance:
            known = known_answers(members, on, fold, load_settings().cache, device, advance)
    return make_ensemble(members, out, wish, known)


def _print(summary: "Ensembled") -> None:
    tasks = ["mask", "gender", "age_group"]
    print_table(
        f"{summary.folder}: {summary.vote} vote",
        ["member", *[f"weight, {task.replace('_', ' ')}" for task in tasks], "macro-F1"],
        [
            [name, *map(entry.get, tasks), entry.get("macro_f1")]
            for name, entry in summary.members.items()
        ],
    )
    if not summary.photos:
        return
    rows = [
        ["best member", summary.best_member],
        ["equal vote", summary.equal],
        ["this vote", summary.found],
        ["this vote, found on other people", summary.crossed],
    ]
    print_table(f"macro-F1 over {summary.photos} photos out of fold", ["", "macro-F1"], rows)
    print_table(
        "members two by two",
        ["first", "second", "differ", "both wrong", "errors correlate"],
        [
            [pair["first"], pair["second"], pair["disagreement"], pair["both_wrong"],
             pair["correlation"]]
            for pair in summary.diversity
        ],
    )  # fmt: skip
