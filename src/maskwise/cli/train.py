"""`maskwise train` and `settings`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskwise.cli.output import AsJson, console, print_json, print_pairs, print_table

if TYPE_CHECKING:
    from maskwise.config import Settings

RecipeName = Annotated[
    str | None, typer.Option("--recipe", help="A name of `maskwise recipes`, or a YAML file.")
]


def train(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MANIFEST] [KEY=VALUE]...",
            help="A manifest or a data folder, else SM_CHANNEL_TRAIN; then settings.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; else SM_MODEL_DIR.")] = None,
    recipe: RecipeName = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file of settings.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a stopped run.")] = False,
    folds: Annotated[
        int, typer.Option(help="Cross-validate: a model for each of so many folds of people.")
    ] = 0,
    fold: Annotated[
        str | None, typer.Option(help="The one fold that validates: train.val_fold.")
    ] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="After the folds, train on everybody.")
    ] = False,
    leave_source_out: Annotated[
        bool,
        typer.Option(
            "--leave-source-out",
            help="Cross-validate by source: a model without each source, compared on that source.",
        ),
    ] = False,
    source: Annotated[
        list[str] | None,
        typer.Option(help="With --leave-source-out: a source to leave out; else each in turn."),
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="A model whose answers are learnt: distill.teacher.")
    ] = None,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Only say and picture what the run would be.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model. `maskwise settings` lists what KEY=VALUE can set."""
    from dataclasses import asdict

    from maskwise.data.inputs import training_manifest
    from maskwise.settings import path_or_variable
    from maskwise.training.display import TrainingDisplay
    from maskwise.training.run import train as run_training

    first = [word for word in words or [] if "=" not in word or os.path.exists(word)]  # noqa: PTH110 # a long word is no name
    overrides = [word for word in words or [] if word not in first]
    if len(first) > 1:
        raise typer.BadParameter(f"expected one manifest, got {' and '.join(first)}")
    data = Path(first[0]) if first else None
    data = path_or_variable(data, "SM_CHANNEL_TRAIN", "the manifest")
    out = path_or_variable(out, "SM_MODEL_DIR", "the run folder (--out)")
    if fold is not None:
        overrides.append(f"train.val_fold={fold}")
    if teacher is not None:
        overrides.append(f"distill.teacher={teacher}")
    one = dry or fold is not None
    wrong = {
        "--folds is all of them: leave away --fold and --dry-run": folds and one,
        "--refit comes after --folds; alone it is train.val_fold=none": refit and not folds,
        "--leave-source-out stands alone: leave away --folds, --fold and --dry-run": (
            leave_source_out and (folds or one)
        ),
        "--source names what --leave-source-out leaves out: add that": (
            source and not leave_source_out
        ),
    }
    if problems := [problem for problem, found in wrong.items() if found]:
        raise typer.BadParameter("; ".join(problems))
    settings = _run_settings(out, config, overrides, resume, recipe)
    if leave_source_out:
        _cross_validate_sources(data, out, settings, source or [], resume, as_json)
        return
    if folds:
        _cross_validate(data, out, settings, folds, refit, resume, as_json)
        return
    if dry:
        _dry_run(training_manifest(data, _beside(out)), _beside(out), settings, as_json)
        return
    manifest = training_manifest(data, out)
    with TrainingDisplay(console()) as display:
        summary = run_training(manifest, out, settings, display, resume)
    if os.environ.get("RANK", "0") != "0":
        return
    result = asdict(summary)
    print_json(result) if as_json else _print_summary(result)


def _cross_validate(
    source: Path,
    out: Path,
    settings: "Settings",
    folds: int,
    refit: bool,
    resume: bool,
    as_json: bool,
) -> None:
    from dataclasses import asdict

    from maskwise.experiments.folds import cross_validate
    from maskwise.training.display import TrainingDisplay

    with TrainingDisplay(console()) as display:
        summary = cross_validate(source, out, settings, folds, refit, resume, display)
    result = asdict(summary)
    if as_json:
        print_json(result)
        return
    scores = result.pop("scores")
    print_table("macro-F1 by fold", ["fold", "macro-F1"], list(scores.items()))
    print_pairs("out of fold", result)


def _cross_validate_sources(
    data: Path,
    out: Path,
    settings: "Settings",
    sources: list[str],
    resume: bool,
    as_json: bool,
) -> None:
    from dataclasses import asdict

    from maskwise.evaluation.sources import COVERAGE, TASK_NAMES
    from maskwise.experiments.leave_source_out import leave_source_out
    from maskwise.training.display import TrainingDisplay

    with TrainingDisplay(console()) as display:
        summary = leave_source_out(data, out, settings, sources, resume, display)
    result = asdict(summary)
    if as_json:
        print_json(result)
        return
    figures = ("balanced_accuracy", "calibration_error", "selective_risk")
    rows = [
        [gap["source"], TASK_NAMES[gap["task"]], gap["trained_with"]["photos"]]
        + [gap[kind][name] for name in figures for kind in ("trained_with", "never_trained_on")]
        + [gap["gap"]]
        for gap in result.pop("gaps")
    ]
    columns = ["source", "task", "photos"]
    columns += [
        f"{name}, {kind}"
        for name in ("balanced accuracy", "ECE", f"risk at {COVERAGE:.0%} coverage")
        for kind in ("trained with it", "never trained on it")
    ]
    print_table("each source, trained with it and without it", [*columns, "gap"], rows)
    print_pairs("leave-source-out", result)


def _beside(out: Path) -> Path:
    """Return the folder of a dry run, so that the run itself finds its own empty."""
    whole = out.resolve()
    return whole.with_name(f"{whole.name}-dry-run")


def _dry_run(manifest: Path, folder: Path, settings: "Settings", as_json: bool) -> None:
    from dataclasses import asdict

    from maskwise.training.dry_run import dry_run

    result = asdict(dry_run(manifest, folder, settings))
    print_json(result) if as_json else print_pairs("dry run", result)


def _run_settings(
    out: Path, config: Path | None, overrides: list[str], resume: bool, recipe: str | None
) -> "Settings":
    from maskwise.settings import load_settings
    from maskwise.training.folder import saved_settings

    if resume and not config and not recipe:
        if saved_settings(out):
            return load_settings(out / "settings.yaml", overrides)
        console().print(f"nothing to resume in {out}: a new run begins")
    return chosen_settings(config, overrides, recipe)


def chosen_settings(config: Path | None, overrides: list[str], recipe: str | None) -> "Settings":
    """Return the settings that a recipe, a file and words give; the later ones win."""
    from maskwise.recipes import find_recipe
    from maskwise.settings import load_settings

    return load_settings(config, overrides, find_recipe(recipe).path if recipe else None)


def _print_summary(result: dict[str, Any]) -> None:
    metrics = result.pop("metrics")
    print_pairs("run", result)
    print_pairs(f"validation after epoch {result['best_epoch']}", metrics)


def settings(
    config: Annotated[Path | None, typer.Option(help="A YAML file of settings.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...")] = None,
    recipe: RecipeName = None,
    as_json: AsJson = False,
) -> None:
    """Print all settings of training as YAML, with what they mean."""
    from maskwise.settings import describe_settings

    values = chosen_settings(config, overrides or [], recipe)
    if as_json:
        print_json(values.model_dump(mode="json"))
    else:
        typer.echo(describe_settings(values), nl=False)
