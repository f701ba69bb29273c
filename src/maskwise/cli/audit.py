"""`maskwise data audit`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskwise.cli.output import (
    AsJson,
    Device,
    ManifestPath,
    console,
    photo_bar,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from maskwise.audit.audit import Predict
    from maskwise.models.probabilities import Tasks


def audit(
    manifest: ManifestPath,
    model: Annotated[
        str | None,
        typer.Option(help="A run or a model file to compare labels with; else the one that comes "
                     "along; none: only photos are looked at."),
    ] = None,
    folds: Annotated[
        bool, typer.Option("--folds", help="The run is a cross-validation: take its answers.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder of findings.csv and audit.html; else beside.")
    ] = None,
    detector: Annotated[str, typer.Option(help="What counts faces; none: nobody does.")] = "yunet",
    workers: Annotated[int, typer.Option(help="Processes; 0 works in this one.")] = -1,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Look for faults in photos and labels, and propose what would mend them."""
    from maskwise.audit.audit import audit_manifest
    from maskwise.audit.findings import write_findings
    from maskwise.audit.page import write_page
    from maskwise.data.manifest import read_manifest
    from maskwise.data.workers import process_count

    frame = read_manifest(manifest, check_photos=False)
    predict = _predict(model, folds, frame, device)
    found = audit_manifest(frame, detector, process_count(workers), photo_bar, predict)
    folder = out or manifest.with_name(f"{manifest.stem}-audit")
    table, page = folder / "findings.csv", folder / "audit.html"
    write_findings(table, frame, found.findings, manifest.parent)
    asked = model or "the model that comes along"
    write_page(page, found, {"manifest": manifest.name, "photos": f"{len(frame)}", "model": asked})
    result: dict[str, Any] = {
        "manifest": str(manifest),
        "photos": len(frame),
        "model": asked,
        "answered": found.asked,
        "findings": found.counts,
        "table": str(table),
        "page": str(page),
    }
    if as_json:
        print_json(result)
        return
    print_table("findings", ["kind", "findings"], list(found.counts.items()))
    typer.echo(f"{table}\n{page}")


def _predict(
    model: str | None, folds: bool, frame: "pl.DataFrame", device: str
) -> "Predict | None":
    """Return what answers the photos; the model is opened at once, to fail before the work."""
    from maskwise.audit.labels import label_issues
    from maskwise.audit.predictions import answered_tasks, out_of_fold_tasks
    from maskwise.errors import SettingsError
    from maskwise.models.loading import SHIPPED, open_classifier
    from maskwise.settings import load_settings

    if model != "none":
        label_issues()  # what is missing is told before the work
    if folds:
        if model in (None, "none"):
            raise SettingsError("--folds takes the answers of a cross-validation: name it, --model")
        answers = out_of_fold_tasks(Path(str(model)), frame)
        return lambda _: answers
    if model == "none":
        return None
    classifier = open_classifier(Path(model) if model else SHIPPED, partly=True)
    if model:
        console().print(
            "what the model was trained on it may have learnt by heart, faults and all; answers of "
            "a cross-validation (--folds) tell more",
            soft_wrap=True,
        )
    cache = load_settings(None, []).cache

    def answer(readable: "NDArray[np.bool_]") -> "Tasks":
        with photo_bar("asking the model", int(readable.sum())) as advance:
            return answered_tasks(classifier, frame, readable, cache, device, advance)

    return answer
