"""`maskwise evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from maskwise.cli.output import (
    AsJson,
    Device,
    Run,
    ViewsName,
    ViewsVote,
    output_folder,
    photo_bar,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL.Image import Image

    from maskwise.config import CacheSettings
    from maskwise.data.frames import PhotoRef
    from maskwise.evaluation.evaluate import Evaluation
    from maskwise.models.views import Views

_GRID: Final = 8
"""Places a side that are covered to explain a mistake."""


def evaluate(
    run: Run = None,
    manifest: Annotated[
        Path | None,
        typer.Argument(help="A manifest or a labelled folder; else SM_GROUND_TRUTH_DIR."),
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option(help="Rows of this fold; else those of val where there are any; or all."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for report.html, evaluation.json and answers.csv."),
    ] = None,
    device: Device = "auto",
    views: ViewsName = "1",
    views_vote: ViewsVote = "soft",
    bootstrap: Annotated[int, typer.Option(min=10, help="Samples behind the intervals.")] = 1000,
    explain: Annotated[
        bool, typer.Option("--explain", help="Draw what the worst mistakes hang on, in the report.")
    ] = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the cache, cache.KEY=VALUE.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score a model or an ensemble on people it has not seen, and write a report."""
    from maskwise.models.views import Views
    from maskwise.settings import path_or_variable

    run = path_or_variable(run, "SM_CHANNEL_MODEL", "the run folder")
    source = path_or_variable(manifest, "SM_GROUND_TRUTH_DIR", "the manifest")
    cache = cache_settings(overrides or [])
    beside = run.parent / f"{run.stem}-evaluation" if run.suffix == ".onnx" else run / "evaluation"
    folder = out or output_folder() or beside
    looks = Views.named(views, views_vote)
    result = score_run(run, source, fold, folder, cache, device, bootstrap, looks, explain)
    if as_json:
        print_json(result)
        return
    print_evaluation(result)
    typer.echo(f"report {result['report']}")


def cache_settings(words: list[str]) -> "CacheSettings":
    """Return the settings of the cache that KEY=VALUE words make."""
    from maskwise.errors import SettingsError
    from maskwise.settings import load_settings

    others = [word for word in words if not word.startswith("cache.")]
    if others:
        raise SettingsError(f"--set {others[0]}: only settings of the cache act here")
    return load_settings(None, words).cache


def score_run(
    run: Path,
    source: Path,
    fold: str | None,
    folder: Path,
    cache: "CacheSettings",
    device: str = "auto",
    bootstrap: int = 1000,
    views: "Views | None" = None,
    explain: bool = False,
    pictures: "Mapping[str, Path] | None" = None,
) -> dict[str, Any]:
    """Score a model, write the report to a folder, and return all figures."""
    import time

    from maskwise.data.inputs import choose_fold, labelled_manifest
    from maskwise.evaluation.evaluate import evaluate as run_evaluation
    from maskwise.evaluation.report import read_history
    from maskwise.models.loading import open_classifier
    from maskwise.models.views import Views

    model, looks = open_classifier(run, partly=True), views or Views()
    model.check_views(looks)
    rows = labelled_manifest(source, model.boundaries)
    frame, used = choose_fold(rows, fold, model.val_fold)
    history = read_history(run) or read_history(run.parent)
    begun = time.perf_counter()
    with photo_bar("evaluating", len(frame)) as advance:
        evaluation = run_evaluation(model, frame, cache, device, bootstrap, advance, looks)
    seconds = time.perf_counter() - begun
    _write_evaluation(folder, evaluation, run, f"{source} ({used})", history, explain, pictures)
    return {
        "run": str(run),
        "manifest": str(source),
        "fold": used,
        "networks": model.networks,
        "views": looks.count,
        "seconds": round(seconds, 1),
        "report": str(folder / "report.html"),
        **evaluation.scores,
    }


def _write_evaluation(
    folder: Path,
    evaluation: "Evaluation",
    run: Path,
    data: str,
    history: list[dict[str, float]],
    explain: bool,
    pictures: "Mapping[str, Path] | None",
) -> None:
    from dataclasses import asdict

    from maskwise.data.frames import photo_refs
    from maskwise.evaluation.evaluate import answers_table, worst_mistakes
    from maskwise.evaluation.report import write_report
    from maskwise.storage import replacing, write_json

    photos = photo_refs(evaluation.frame)
    mistakes = [
        {
            **asdict(mistake),
            "photo": photos[mistake.row].path,
            "box": photos[mistake.row].box,
            "heat": _heat(evaluation, photos[mistake.row], mistake.task) if explain else None,
        }
        for mistake in worst_mistakes(evaluation)
    ]
    about = {**evaluation.model.about, "run": str(run), "data": data}
    write_json(folder / "evaluation.json", evaluation.scores)
    with replacing(folder / "answers.csv") as temporary:
        answers_table(evaluation).write_csv(temporary)
    write_report(folder / "report.html", evaluation.scores, mistakes, about, history, pictures)


def _heat(evaluation: "Evaluation", photo: "PhotoRef", task: str) -> "Image":
    from maskwise.data.framing import Framer
    from maskwise.evaluation.explain import heat_picture, occlusion_maps

    model = evaluation.model
    frames = {
        key: Framer(preprocess).frame(photo.path, photo.box).pixels
        for key, preprocess in model.preprocesses.items()
    }
    (found,) = occlusion_maps(model, frames, [task], grid=_GRID)
    return heat_picture(next(iter(frames.values())), found.values)


def print_evaluation(result: dict[str, Any]) -> None:
    """Print the figures of `score_run` as tables."""
    rows = [
        _score_row(task.replace("_", " "), figures)
        for task, figures in [*result["tasks"].items(), ("18 classes", result["classes"])]
        if figures["photos"]
    ]
    columns = ["", "photos", "accuracy", "macro-F1", "95 %", "balanced accuracy", "95 %", "ECE"]
    print_table(f"{result['run']} on {result['manifest']} ({result['fold']})", columns, rows)
    for column, groups in result["groups"].items():
        if groups:
            names = ["mask_balanced_accuracy", "gender_accuracy", "age_group_accuracy"]
            names += ["age_group_balanced_accuracy", "macro_f1"]
            print_table(
                f"by {column.replace('_', ' ')}",
                ["", "photos", *names],
                [[word, group["photos"], *map(group.get, names)] for word, group in groups.items()],
            )
    print_sources(result["by_source"])
    if result["networks"] * result["views"] > 1:
        typer.echo(
            f"{result['networks']} network(s) and {result['views']} look(s) at each photo: "
            f"{1000 * result['seconds'] / result['photos']:.1f} ms a photo, with reading it"
        )
    if result["no_face"]:
        typer.echo(f"no face found in {result['no_face']} photos: their centre was taken")
    if result["age"]["photos"]:
        typer.echo(f"age: mean absolute error {result['age']['mean_absolute_error']:.2f} years")


def print_sources(by_source: dict[str, Any]) -> None:
    """Print each task's figures on each source, and the gap to sources never trained on."""
    from maskwise.evaluation.sources import COVERAGE, TASK_NAMES

    trained = {True: "yes", False: "no", None: "unknown"}
    figures = ["photos", "accuracy", "balanced_accuracy", "macro_f1"]
    figures += ["calibration_error", "selective_risk"]
    rows = [
        [source, name, trained[own["trained_on"]], *map(own[task].get, figures)]
        for source, own in by_source["sources"].items()
        for task, name in TASK_NAMES.items()
        if task in own
    ]
    columns = ["source", "task", "trained on", "photos", "accuracy", "balanced accuracy"]
    columns += ["macro-F1", "ECE", f"risk at {COVERAGE:.0%} coverage"]
    print_table("by source and task", columns, rows)
    for task, gap in by_source["gaps"].items():
        typer.echo(
            f"{TASK_NAMES[task]}: balanced accuracy is {gap:+.4f} on sources that it was "
            "trained on, against sources that it was not"
        )


def _score_row(name: str, figures: dict[str, Any]) -> list[object]:
    return [
        name,
        figures["photos"],
        figures["accuracy"],
        figures["macro_f1"],
        "{:.4f} to {:.4f}".format(*figures["macro_f1_interval"]),
        figures["balanced_accuracy"],
        "{:.4f} to {:.4f}".format(*figures["balanced_accuracy_interval"]),
        figures["calibration_error"],
    ]
