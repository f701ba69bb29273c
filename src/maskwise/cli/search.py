"""`maskwise search`."""

from pathlib import Path
from typing import Annotated

import typer

from maskwise.cli.model import RecipeName, chosen_settings
from maskwise.cli.output import AsJson, console, print_json, print_pairs

_QUICK = (
    "preprocess.height=96",
    "preprocess.width=96",
    "train.epochs=3",
    "train.epoch_photos=4000",
    "augment.base=none",
    "augment.flip=0.5",
    "track.pictures=0",
    "track.mistakes=0",
)


def search(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="augment MANIFEST [KEY=VALUE]...",
            help="What is searched for; a manifest with folds; settings of the trials.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    trials: Annotated[int, typer.Option(min=1, help="Policies to try, in all.")] = 30,
    sequences: Annotated[
        int, typer.Option(min=1, max=20, help="Sequences of changes in a policy.")
    ] = 5,
    recipe: RecipeName = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file of settings.")] = None,
    as_json: AsJson = False,
) -> None:
    """Search an augmentation policy on the training people; it is written to OUT/policy.yaml."""
    from dataclasses import asdict

    from maskwise.experiments.policy_search import search_policy

    if words[0] != "augment" or len(words) < 2:
        raise typer.BadParameter("expected: maskwise search augment MANIFEST [KEY=VALUE]...")
    quick = () if recipe or config else _QUICK
    settings = chosen_settings(config, [*quick, *words[2:]], recipe)

    def told(text: str) -> None:
        console().print(text, soft_wrap=True)

    found = asdict(search_policy(Path(words[1]), out, settings, trials, sequences, told))
    print_json(found) if as_json else print_pairs("policy search", found)
