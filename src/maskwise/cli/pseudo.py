"""`maskwise pseudo`."""

from pathlib import Path
from typing import Annotated

import typer

from maskwise.cli.answering import answered, load_predictor
from maskwise.cli.output import (
    AsJson,
    Device,
    Force,
    ViewsName,
    ViewsVote,
    keep_existing,
    print_json,
    print_pairs,
    print_table,
)


def pseudo(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model or an ensemble.")],
    photos: Annotated[
        list[str], typer.Argument(help="Photos, folders, globs or CSV files of ids.")
    ],
    out: Annotated[Path, typer.Option(help="The manifest to write.")] = Path("pseudo.csv"),
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Least probability of the class.")
    ] = 0.95,
    per_class: Annotated[
        bool, typer.Option("--per-class", help="As many of each class as the rarest has.")
    ] = False,
    round_number: Annotated[
        int, typer.Option("--round", min=1, help="Stands in the source: pseudo-1.")
    ] = 1,
    folder: Annotated[
        Path | None, typer.Option("--photos", help="Folder of the photos that a CSV file names.")
    ] = None,
    force: Force = False,
    device: Device = "auto",
    views: ViewsName = "1",
    views_vote: ViewsVote = "soft",
    workers: Annotated[int, typer.Option(help="Processes that decode.")] = -1,
    as_json: AsJson = False,
) -> None:
    """Label photos by a model where it is sure, as a manifest with soft labels.

    Merge it with the labelled manifest and train; it trains only, in the fold `pseudo`. Labels
    given by models that saw the people who score a run make that score look better than it is.
    """
    from maskwise.data.manifest import write_manifest
    from maskwise.data.named import find_photos
    from maskwise.errors import ManifestError
    from maskwise.prediction.pseudo import pseudo_manifest

    keep_existing(out, force)
    found = find_photos(photos, folder)
    predictor = load_predictor(model, device, views, views_vote)
    names, refs = [name for name, _ in found], [photo for _, photo in found]
    answers = answered(predictor, refs, names, workers)
    made = pseudo_manifest(answers, refs, min_confidence, per_class, round_number)
    if made.frame.is_empty():
        raise ManifestError(
            f"the model is not so sure ({min_confidence:g}) of any of the {made.answered} photos"
        )
    write_manifest(made.frame, out)
    result = {
        "manifest": str(out),
        "photos": len(made.frame),
        "answered": made.answered,
        "unreadable": made.unreadable,
    }
    if as_json:
        print_json({**result, "kept": made.kept})
        return
    print_pairs("pseudo-labels", result)
    print_table("by class", ["class", "photos"], list(made.kept.items()))
