"""`maskwise submit`, `score` and `diff`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskwise.cli.answering import answered, load_predictor
from maskwise.cli.output import (
    AsJson,
    Device,
    ViewsName,
    ViewsVote,
    console,
    print_json,
    print_pairs,
    print_table,
)

if TYPE_CHECKING:
    from maskwise.models.probabilities import Probabilities
    from maskwise.prediction.submission import LabelledTwin, Listing

_LEAK = (
    "{file} is {count} answers that were not given by the model: those photos nearly equal "
    "labelled ones of {manifest}, whose labels it takes. It says nothing about how good the model "
    "is, and many competitions forbid it."
)


def submit(
    source: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="A model, an ensemble, or a CSV of probabilities."),
    ],
    listing: Annotated[
        Path,
        typer.Argument(metavar="EVAL", help="A folder with info.csv and images/; or the CSV file."),
    ],
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("submission"),
    photos: Annotated[Path | None, typer.Option(help="Folder of the photos.")] = None,
    near_duplicates: Annotated[
        Path | None,
        typer.Option(help="A labelled manifest: also write submission.leak.csv."),
    ] = None,
    device: Device = "auto",
    views: ViewsName = "1",
    views_vote: ViewsVote = "soft",
    workers: Annotated[int, typer.Option(help="Processes that decode.")] = -1,
    as_json: AsJson = False,
) -> None:
    """Write submission.csv in the order of info.csv, and the probabilities beside it."""
    from maskwise.data.workers import process_count
    from maskwise.evaluation.tables import write_probabilities
    from maskwise.prediction.submission import read_listing, write_submission

    asked = read_listing(listing, photos)
    twins = _leaks(asked, near_duplicates, process_count(workers)) if near_duplicates else []
    if source.suffix == ".csv":
        found, answers = _from_file(source, asked)
    else:
        found, answers = _from_model(source, asked, device, views, views_vote, workers)
    write_submission(out / "submission.csv", asked.ids, answers)
    write_probabilities(out / "probabilities.csv", asked.ids, found, answers)
    result = {"submission": str(out / "submission.csv"), "photos": len(answers)}
    if near_duplicates:
        leak = {twin.id: twin.answer for twin in twins}
        file = out / "submission.leak.csv"
        write_submission(
            file, asked.ids, [leak.get(n, a) for n, a in zip(asked.ids, answers, strict=True)]
        )
        result |= {"leak": str(file), "near_duplicates": len(twins)}
        note = _LEAK.format(file=file, count=len(twins), manifest=near_duplicates)
        console().print(note, soft_wrap=True)
    print_json(result) if as_json else print_pairs("submission", result)


def _from_file(source: Path, asked: "Listing") -> "tuple[Probabilities, list[int]]":
    from maskwise.evaluation.tables import read_probabilities
    from maskwise.prediction.submission import in_order

    table = read_probabilities(source)
    order = in_order(asked, table.ids, str(source))
    found = table.probabilities.take(order)
    answers = found.joint.argmax(axis=1) if table.answers is None else table.answers[order]
    return found, answers.tolist()


def _from_model(
    source: Path,
    asked: "Listing",
    device: str,
    views: str,
    views_vote: ViewsVote,
    workers: int,
) -> "tuple[Probabilities, list[int]]":
    import numpy as np

    from maskwise.data.frames import PhotoRef
    from maskwise.errors import ManifestError, listed
    from maskwise.models.probabilities import Probabilities
    from maskwise.prediction.submission import check_photos

    check_photos(asked)
    predictor = load_predictor(source, device, views, views_vote)
    refs = [PhotoRef(str(photo)) for photo in asked.photos]
    answers = list(answered(predictor, refs, asked.ids, workers))
    errors = [answer.error for answer in answers if answer.error]
    if errors:
        raise ManifestError(
            f"{len(errors)} of {len(refs)} photos cannot be read, and a submission has an answer "
            f"for each:\n{listed(errors)}"
        )
    joint = np.array([answer.classes for answer in answers])
    return Probabilities.of_joint(joint), [answer.answer for answer in answers]


def _leaks(asked: "Listing", manifest: Path, workers: int) -> "list[LabelledTwin]":
    from maskwise.data.manifest import read_manifest
    from maskwise.labels import TASK_BOUNDARIES
    from maskwise.prediction.submission import check_photos, labelled_twins

    check_photos(asked)
    return labelled_twins(asked, read_manifest(manifest), TASK_BOUNDARIES, workers)


def score(
    truth: Annotated[Path, typer.Argument(help="True classes: a CSV of ImageID and ans.")],
    submission: Annotated[Path, typer.Argument(help="A submission.")],
    as_json: AsJson = False,
) -> None:
    """Print accuracy and macro-F1 of a submission against true classes."""
    from maskwise.prediction.submission import score_submission

    result = score_submission(truth, submission)
    if as_json:
        print_json(result)
        return
    rows = [["18 classes", result["accuracy"], result["macro_f1"]]]
    rows += [
        [task.replace("_", " "), figures["accuracy"], figures["macro_f1"]]
        for task, figures in result["tasks"].items()
    ]
    print_table(f"{submission}, {result['photos']} photos", ["", "accuracy", "macro-F1"], rows)


def diff(
    first: Annotated[Path, typer.Argument(help="A submission.")],
    second: Annotated[Path, typer.Argument(help="Another.")],
    out: Annotated[
        Path | None, typer.Option(help="Where to write the photos that differ (.csv).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show where two submissions part."""
    from maskwise.prediction.submission import compare_submissions
    from maskwise.storage import write_csv

    result = compare_submissions(first, second)
    if out:
        columns = ["ImageID", "first", "second"]
        write_csv(out, columns, [[row[name] for name in columns] for row in result["rows"]])
    if as_json:
        print_json(result)
        return
    pairs = {"photos": result["photos"], "different": result["different"], **result["tasks"]}
    print_pairs(f"{first} and {second}", pairs)
    if result["moves"]:
        moves = [[move["first"], move["second"], move["photos"]] for move in result["moves"]]
        print_table("classes that became others", ["first", "second", "photos"], moves)
