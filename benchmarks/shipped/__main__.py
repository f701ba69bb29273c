r"""Makes the model that comes along, from photos to the file in the package, with its figures.

    python -m benchmarks.shipped ../shared/data package/models/faceres-deep.json \
        --out runs/shipped [KEY=VALUE ...]

The folder holds `utkface`, `asian_decades` and `mask_photos`; the second file is what first weights
are made of (`face_weights.py` says how to get it). A mask is drawn on each bare face of the first
two sets, worn right on every other one. People are split, near-duplicates together: a tenth is
tested on and seen by nothing else, a twentieth of the others validates and calibrates. A stopped
run goes on when the command is given again. KEY=VALUE are settings of both trainings, beside those
of `recipe.yaml`: `train.amp=no` for processors that do not compute in bf16.

Heads on the first weights, which answer people that they never saw, teach gender and age
(`teacher.py`): from them a network learns how sure one can be, and no labels by heart. It is
trained twice, once with a slower backbone, with more of the real masks, above all of those that are
worn wrong: of these there are few, and it would else learn that in photos with real masks they are
rare. The file holds a mean: of the first network, and of the mean of both after half of the epochs.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from benchmarks.commands import maskwise
from benchmarks.shipped.face_weights import make_face_weights
from benchmarks.shipped.figures import figures, print_figures
from benchmarks.shipped.teacher import make_teacher
from maskwise.models.bundle import WEIGHTS
from maskwise.storage import write_json
from maskwise.training.folder import kept_epoch

BARE: Final = ("utkface", "asian_decades")
WORN: Final = ("wear", "incorrect")
REAL: Final = "mask_photos"
RARE: Final = "mask_photos_incorrect"
RECIPE: Final = Path(__file__).with_name("recipe.yaml")
HALF: Final = 4
"""Epochs of the recipe's eight."""
SLOWER: Final = "optim.backbone_lr_factor=0.15"
TESTED, VALIDATED = 0.1, 0.05


def make_manifest(data: Path, out: Path) -> Path:
    """Import the sets, draw masks and split people; return the manifest."""
    manifest = out / "all.csv"
    if manifest.exists():
        return manifest
    for name in (*BARE, REAL):
        if not (out / f"{name}.csv").exists():
            maskwise("data", "import", data / name, "--out", out / f"{name}.csv")
    drawn = [draw_masks(out / f"{name}.csv", worn) for name in BARE for worn in WORN]
    sets = [*drawn, out / f"{REAL}.csv"]
    joined = out / "joined.csv"
    maskwise("data", "merge", *sets, "--same-people", "--out", joined, "--force")
    split_off(joined, TESTED, "test")
    maskwise("data", "split", joined, "--val", VALIDATED, "--seed", 0)
    joined.rename(manifest)
    return manifest


def draw_masks(manifest: Path, worn: str) -> Path:
    """Draw masks worn in one way on every other face, bare ones beside; return the new manifest."""
    half = manifest.with_name(f"{manifest.stem}-{worn}.csv")
    faces = pl.read_csv(manifest, infer_schema=False)
    faces.gather_every(len(WORN), WORN.index(worn)).write_csv(half)
    drawn = half.with_suffix("")
    counts = [word for way in WORN for word in (f"--{way}", int(way == worn))]
    maskwise("data", "mask", half, "--out", drawn, *counts, "--bare", 1, "--seed", 0)
    return drawn / "manifest.csv"


def split_off(manifest: Path, share: float, fold: str) -> None:
    """Put a share of the people into a fold of their own; the others have none yet."""
    maskwise("data", "split", manifest, "--val", share, "--seed", 0, "--reassign")
    frame = pl.read_csv(manifest, infer_schema=False)
    apart = pl.when(pl.col("fold") == "val").then(pl.lit(fold)).otherwise(None)
    frame.with_columns(apart.alias("fold")).write_csv(manifest)


def sources_apart(manifest: Path) -> Path:
    """Return a manifest in which real masks that are worn wrong are a source of their own."""
    apart = manifest.with_name("rare-apart.csv")
    rare = (pl.col("source") == REAL) & (pl.col("mask") == "incorrect")
    source = pl.when(rare).then(pl.lit(RARE)).otherwise(pl.col("source")).alias("source")
    pl.read_csv(manifest, infer_schema=False).with_columns(source).write_csv(apart)
    return apart


def train(manifest: Path, run: Path, settings: Sequence[str]) -> None:
    """Train by the recipe, or go on with it."""
    begun = ["--resume"] if (run / "settings.yaml").exists() else []
    kept = f"train.keep_epochs=[{HALF}]"
    maskwise("train", manifest, "--recipe", RECIPE, "--out", run, *begun, kept, *settings)


def make_network(options: argparse.Namespace, manifest: Path) -> Path:
    """Train from the weights of a network that has seen faces; return the mean's folder."""
    out: Path = options.out
    faces, teacher = out / "faces.safetensors", out / "teacher.csv"
    if not faces.exists():
        make_face_weights(options.graph, options.data / BARE[0], faces)
    if not teacher.exists():
        make_teacher(manifest, faces, teacher)
    begin = [f"model.pretrained={faces}", f"distill.teacher={teacher}"]
    apart, runs = sources_apart(manifest), (out / "first", out / "second")
    for run, more in zip(runs, ([], [SLOWER]), strict=True):
        train(apart, run, [*begin, *more, *options.settings])
    halves = [run / kept_epoch(HALF) for run in runs]
    average(apart, halves, out / "halves")
    average(apart, [runs[0] / "last", out / "halves"], out / "mean")
    return out / "mean"


def average(manifest: Path, models: Sequence[Path], mean: Path) -> None:
    """Write the mean of models, once."""
    if not (mean / WEIGHTS).exists():
        maskwise("average", *models, "--on", manifest, "--out", mean)


def finish(network: Path, manifest: Path, out: Path) -> None:
    """Make the file of a network, and print its figures."""
    model = out / "maskwise.onnx"
    maskwise("decide", network, "--on", manifest, "--temperature")
    export = ["--int8", "--on", manifest, "--fold", "val"]
    maskwise("export", network, *export, "--out", model)
    maskwise("evaluate", model, manifest, "--fold", "test", "--out", out / "test")
    found = figures(manifest, out / "test" / "answers.csv")
    write_json(out / "figures.json", found)
    print_figures(found)


def main(words: Sequence[str] | None = None) -> None:
    """Make the model, or go on with it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("graph", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/shipped"))
    parser.add_argument("settings", nargs="*")
    options = parser.parse_intermixed_args(words)
    manifest = make_manifest(options.data, options.out)
    finish(make_network(options, manifest), manifest, options.out)


if __name__ == "__main__":
    main()
