"""What masks drawn on bare faces are worth where the masks are real.

    python -m benchmarks.drawn_masks runs/drawn mask_photos.csv --out runs/worth [KEY=VALUE ...]

`runs/drawn` was trained on drawn masks only, and `mask_photos.csv` lists real photos by mask state.
Three models answer every real photo:

- drawn: that run as it is, which never saw a real mask;
- real: one model a fold, trained on real photos only;
- drawn, then real: the same, from the backbone of the run.

The last two are cross-validated over people: a fold is answered by a model that was trained on the
others, less one that chose the epoch. Both get the same settings (KEY=VALUE) and the same folds.
A score is computed once, over all photos; its interval, and that of the gain, draws people 1,000
times. A stopped run goes on when the command is given again.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from maskwise.config import CacheSettings, Settings
from maskwise.cores import core_count
from maskwise.data.duplicates import find_twins, fingerprint_photos
from maskwise.data.manifest import read_manifest, write_manifest
from maskwise.data.split import TEST, TRAIN, VAL, split_manifest
from maskwise.evaluation.evaluate import evaluate
from maskwise.evaluation.metrics import balanced_accuracy, confusion_matrix, recalls
from maskwise.labels import TASKS, code_of
from maskwise.models.ensemble import load_classifier
from maskwise.settings import load_settings
from maskwise.training.display import TrainingDisplay
from maskwise.training.run import train

STATES: Final = list(TASKS["mask"])
SAMPLES: Final = 1000
Codes = NDArray[np.int64]


def folded(frame: pl.DataFrame, folds: int, seed: int) -> pl.DataFrame:
    """Return the photos of known mask state in folds of people; near-duplicates stay together."""
    known = frame.filter(pl.col("mask").is_not_null())
    twins = find_twins(fingerprint_photos(known["photo"].to_list(), workers=core_count()))
    return split_manifest(known, twins, folds=folds, seed=seed, reassign=True)


def cross_validated(
    frame: pl.DataFrame, folds: int, settings: Settings, out: Path, console: Console
) -> Codes:
    """Return for each photo the state (N,) answered by a model that never saw its person."""
    answers = np.full(len(frame), -1)
    for fold in range(folds):
        folder = out / f"fold{fold}"
        roles = {str(fold): TEST, str((fold + 1) % folds): VAL}
        parts = frame.with_columns(pl.col("fold").replace_strict(roles, default=TRAIN))
        manifest = out / f"fold{fold}.csv"
        write_manifest(parts, manifest)
        with TrainingDisplay(console) as display:
            train(manifest, folder, settings, display, resume=folder.exists())
        tested = (parts["fold"] == TEST).to_numpy()
        answers[tested] = answered(folder, frame.filter(tested), settings.cache)
    return answers


def answered(model: Path, frame: pl.DataFrame, cache: CacheSettings) -> Codes:
    """Return the state (N,) that a model answers for each photo."""
    evaluation = evaluate(load_classifier(model), frame, cache, samples=10)
    answers: Codes = evaluation.answered.probabilities.tasks["mask"].argmax(axis=1).astype(np.int64)
    return answers


def score(truth: Codes, answers: Codes) -> float:
    """Return the balanced accuracy over the mask states."""
    return balanced_accuracy(confusion_matrix(truth, answers, len(STATES)))


def intervals(truth: Codes, arms: dict[str, Codes], people: Codes) -> dict[str, str]:
    """Return the 95 % interval of each arm's score, and that of the last arm's gain."""
    generator = np.random.default_rng(0)
    order = np.argsort(people, kind="stable")
    photos = np.split(order, np.flatnonzero(np.diff(people[order])) + 1)
    drawn: dict[str, list[float]] = {name: [] for name in [*arms, "gain"]}
    for _ in range(SAMPLES):
        chosen = generator.integers(len(photos), size=len(photos))
        rows = np.concatenate([photos[person] for person in chosen])
        for name, answers in arms.items():
            drawn[name].append(score(truth[rows], answers[rows]))
        _, before, after = (drawn[name][-1] for name in arms)
        drawn["gain"].append(after - before)
    bounds = {name: np.percentile(values, [2.5, 97.5]) for name, values in drawn.items()}
    return {name: f"{low:.3f} to {high:.3f}" for name, (low, high) in bounds.items()}


def results_table(truth: Codes, arms: dict[str, Codes], people: Codes) -> Table:
    """Return the scores of all arms, and the gain of the last over the second."""
    table = Table("trained on", *STATES, "balanced accuracy", "95 %")
    inside = intervals(truth, arms, people)
    for name, answers in arms.items():
        shares = recalls(confusion_matrix(truth, answers, len(STATES)))
        figures = [f"{share:.3f}" for share in (*shares, score(truth, answers))]
        table.add_row(name, *figures, inside[name])
    _, before, after = (score(truth, answers) for answers in arms.values())
    table.add_row("gain", *[""] * len(STATES), f"{after - before:+.3f}", inside["gain"])
    return table


def main(words: Sequence[str] | None = None) -> None:
    """Train what is not trained yet, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("drawn", type=Path, help="a run trained on drawn masks only")
    parser.add_argument("manifest", type=Path, help="real photos by mask state")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of training")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_intermixed_args(words)
    console = Console(width=110)
    frame = folded(read_manifest(given.manifest), given.folds, given.seed)
    starts = {"real": [], "drawn, then real": [f"model.pretrained={given.drawn.resolve()}"]}
    cache = load_settings(None, given.overrides).cache
    arms = {"drawn": answered(given.drawn, frame, cache)}
    for name, start in starts.items():
        settings = load_settings(None, [*given.overrides, *start])
        place = given.out / name.replace(", ", "-").replace(" ", "-")
        arms[name] = cross_validated(frame, given.folds, settings, place, console)
    truth = np.array([code_of("mask", word) for word in frame["mask"]])
    people = frame["person"].rank("dense").to_numpy().astype(np.int64)
    console.print(
        f"{len(frame)} photos of {frame['person'].n_unique()} people",
        results_table(truth, arms, people),
    )


if __name__ == "__main__":
    main()
