"""What the label audit finds of faults put into a manifest, and what mending them gives.

    python -m benchmarks.label_audit MANIFEST --out DIR --model maskwise.onnx [--fold test]
    python -m benchmarks.label_audit MANIFEST --out DIR --folds 5 [--mend] [KEY=VALUE ...]

The first line asks a model, which should not have seen these people; the second trains a
cross-validation on the faulty labels, with settings of `maskwise train`, and asks that. Faults that
the manifest had before count against the precision, though they may be real.

With `--mend` an expert, who knows the labels that were there before, goes through the list on the
page of `maskwise label`, in Chromium (`make browser`), and presses the keys that a person would:
Space where the suggestion is right, Enter where the labels are, else what they should be. The
cross-validation is then trained again on what was exported. Both are scored by the labels that were
there before. A command that was stopped goes on when it is given again.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.commands import maskwise
from benchmarks.label_audit.expert import correct_on_page
from benchmarks.label_audit.faults import corrupt, score
from benchmarks.label_audit.scores import out_of_fold_score, people_mended
from maskwise.data.manifest import read_manifest, write_manifest
from maskwise.evaluation.tables import OUT_OF_FOLD
from maskwise.serving.screenshot import browser_program
from maskwise.storage import write_json


def main(words: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument("--mend", action="store_true")
    parser.add_argument("--fold", help="of the manifest: people of this fold only")
    parser.add_argument("settings", nargs="*")
    options = parser.parse_intermixed_args(words)
    if bool(options.model) == bool(options.folds):
        parser.error("say either --model FILE or --folds N")
    if options.mend and not options.folds:
        parser.error("--mend trains again: it goes with --folds")
    program = browser_program() if options.mend else None
    if options.mend and program is None:
        parser.error("--mend needs Chromium: make browser")
    out: Path = options.out
    frame = read_manifest(options.manifest)
    if options.fold:
        frame = frame.filter(pl.col("fold") == options.fold)
    wrong, faulty = corrupt(frame)
    manifest, run = out / "faulty.csv", options.model
    write_manifest(wrong, manifest)
    if options.folds:
        run = cross_validate(manifest, out / "cv", options)
    folds = ["--folds"] if options.folds else []
    maskwise("data", "audit", manifest, "--model", run, *folds, "--out", out / "audit")
    findings = pl.read_csv(out / "audit" / "findings.csv", infer_schema=False)
    scores: dict[str, Any] = {kind: vars(each) for kind, each in score(findings, faulty).items()}
    print_scores(scores)
    if program:
        scores["mended"] = mend(frame, faulty, options, program)
    write_json(out / "scores.json", scores)


def mend(
    frame: pl.DataFrame, faulty: dict[str, set[str]], options: argparse.Namespace, program: str
) -> dict[str, float]:
    """Let an expert correct what was found and train again; print and return what it gave."""
    out: Path = options.out
    manifest, mended = out / "faulty.csv", out / "mended.csv"
    for decided in out.glob("faulty-labels.db*"):  # of a command that was stopped
        decided.unlink()
    decisions, minutes = correct_on_page(manifest, out / "audit" / "findings.csv", frame, program)
    maskwise("label", "export", manifest, "--out", mended, "--force")
    people = set.union(*faulty.values())
    cross_validate(mended, out / "cv-mended", options)
    found = {
        "decisions": decisions,
        "decisions a minute": round(decisions / minutes),
        "faulty people": len(people),
        "of them mended": people_mended(frame, read_manifest(mended), people),
        "labels corrected": len(pl.read_csv(out / "mended-corrections.csv")),
        "macro-F1 before": out_of_fold_score(out / "cv" / OUT_OF_FOLD, frame),
        "macro-F1 after": out_of_fold_score(out / "cv-mended" / OUT_OF_FOLD, frame),
    }
    for name, figure in found.items():
        print(f"{name}: {figure:.4f}" if isinstance(figure, float) else f"{name}: {figure}")
    return found


def cross_validate(manifest: Path, run: Path, options: argparse.Namespace) -> Path:
    """Train a cross-validation, or go on with it; return its folder."""
    begun = ["--resume"] if run.exists() else []
    maskwise("train", manifest, "--folds", options.folds, "--out", run, *begun, *options.settings)
    return run


def print_scores(scores: dict[str, Any]) -> None:
    """Print the table of what was found."""
    print("| Fault | Put in | Found | Recall | Precision | Recall at .60 precision |")
    print("|---|---|---|---|---|---|")
    for kind, found in scores.items():
        figures = (found["recall"], found["precision"], found["best_recall"])
        told = " | ".join(f"{figure:.3f}" for figure in figures)
        print(f"| {kind} | {found['faults']} | {found['findings']} | {told} |")


if __name__ == "__main__":
    main()
