"""Scores a submission on the twin, over all people and over those that a model never saw.

    maskwise submit MODEL twin/eval --out submission
    python -m benchmarks.twin_score twin submission/submission.csv --unseen runs/shipped/test.csv

The twin is made of a source that other models were trained on. `--unseen` names a manifest: people
of whom a photo stands there in the fold test were held out.
"""

import argparse
from pathlib import Path

import polars as pl

from maskwise.data.layouts import PEOPLE_FILE
from maskwise.data.split import TEST
from maskwise.errors import ManifestError, MaskwiseError
from maskwise.evaluation.metrics import confusion_matrix, macro_f1
from maskwise.labels import NUM_CLASSES


def twin_scores(twin: Path, submission: Path, unseen: Path | None) -> dict[str, dict[str, float]]:
    """Return photos and macro-F1 over the 18 classes, of all people and of those held out.

    Raises:
        ManifestError: Photos lack a prediction or have two, or nobody is held out.
    """
    truth = pl.read_csv(twin / "eval" / "gt.csv").rename({"ans": "truth"})
    predicted = pl.read_csv(submission)
    if sorted(predicted["ImageID"]) != sorted(truth["ImageID"]):
        raise ManifestError(f"{submission} does not have the photos of {twin}, each once")
    joined = truth.join(predicted, on="ImageID")
    groups = {"all people": joined}
    if unseen:
        joined = joined.join(pl.read_csv(twin / "eval" / PEOPLE_FILE), on="ImageID")
        rows = pl.read_csv(unseen, infer_schema=False).filter(pl.col("fold") == TEST)
        names = {Path(photo).name for photo in rows["photo"]}
        groups["people held out"] = joined.filter(pl.col("person").is_in(names))
        if groups["people held out"].is_empty():
            raise ManifestError(f"{unseen} has nobody of {twin} in the fold {TEST}")
    return {name: _scores(rows) for name, rows in groups.items()}


def _scores(rows: pl.DataFrame) -> dict[str, float]:
    confusion = confusion_matrix(rows["truth"].to_numpy(), rows["ans"].to_numpy(), NUM_CLASSES)
    return {"photos": len(rows), "macro_f1": macro_f1(confusion)}


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("twin", type=Path)
    parser.add_argument("submission", type=Path)
    parser.add_argument("--unseen", type=Path)
    own = parser.parse_args()
    try:
        scores = twin_scores(own.twin, own.submission, own.unseen)
    except MaskwiseError as error:
        parser.error(str(error))
    print("| | Photos | Macro-F1 |\n|---|---|---|")
    for name, found in scores.items():
        print(f"| {name} | {found['photos']} | {found['macro_f1']:.3f} |")


if __name__ == "__main__":
    main()
