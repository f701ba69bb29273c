"""`maskwise search`."""

from pathlib import Path
from typing import Annotated

import typer

from maskwise.cli.output import AsJson, console, print_json, print_pairs
from maskwise.cli.train import RecipeName, chosen_settings

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
            metavar="[augment] MANIFEST [KEY=VALUE]...",
            help="A manifest with folds, and settings of the trials; augment: search a policy.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    trials: Annotated[int, typer.Option(min=1, help="Trials, in all.")] = 30,
    space: Annotated[
        Path | None, typer.Option(help="A YAML file: settings and what they may be.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="A database that machines share: a URL of SQLAlchemy."),
    ] = None,
    study: Annotated[str, typer.Option(help="Name of the study in it.")] = "maskwise",
    sequences: Annotated[
        int, typer.Option(min=1, max=20, help="Sequences of changes in a policy.")
    ] = 5,
    recipe: RecipeName = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file of settings.")] = None,
    as_json: AsJson = False,
) -> None:
    """Search settings, or an augmentation policy, on the training people.

    Settings of a space are written to OUT/best.yaml, a recipe; a policy to OUT/policy.yaml.
    """
    from dataclasses import asdict

    for_policy = words[0] == "augment"
    if for_policy and len(words) < 2:
        raise typer.BadParameter("expected: maskwise search augment MANIFEST [KEY=VALUE]...")
    if for_policy == (space is not None):
        raise typer.BadParameter("settings are searched with --space FILE, a policy without")
    manifest, overrides = Path(words[int(for_policy)]), words[int(for_policy) + 1 :]

    def told(text: str) -> None:
        console().print(text, soft_wrap=True)

    if space is not None:
        from maskwise.experiments.settings_search import search_settings

        base = chosen_settings(config, overrides, recipe)
        best = search_settings(manifest, out, base, space, trials, storage, study, told)
        found = asdict(best)
    else:
        from maskwise.experiments.policy_search import search_policy

        quick = () if recipe or config else _QUICK
        base = chosen_settings(config, [*quick, *overrides], recipe)
        found = asdict(search_policy(manifest, out, base, trials, sequences, told))
    print_json(found) if as_json else print_pairs("search", found)
