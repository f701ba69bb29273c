r"""Makes the model that comes along, from photos to the file in the package, with its figures.

    python -m benchmarks.shipped ../shared/data package/models/faceres-deep.json \
        --out runs/shipped [KEY=VALUE ...]

The folder holds `utkface`, `asian_decades` and `mask_photos`; the second file is what first weights
are made of (`face_weights.py` says how to get it). A mask is drawn on each bare face of the first
two sets, worn right on every other one. People are split, near-duplicates together: a tenth is
tested on and seen by nothing else, a twentieth of the others validates and calibrates. A stopped
run goes on when the command is given again. KEY=VALUE are settings of all trainings, beside those
of `recipe.yaml` and `ages.yaml`: `train.amp=no train.compile=false` for processors that do not
compute in bf16.

The network is trained on everything at 128 pixels, then trained on at 160, with more of the real
masks that are worn wrong: of these there are few, and it would else learn that in photos with real
masks they are rare. The file answers by a photo and its mirror image.

With `--from-file` the file in the package is trained on instead, for ages, which are hardest: with
more bare faces and stronger changes, as ages of training faces are told far better than of others.
docs/results.md says what that was worth. The figures are of people that the file never saw only if
the manifest is the one that it was made with: the same photos, in the same order.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from benchmarks.shipped.face_weights import make_face_weights
from benchmarks.shipped.figures import figures, print_figures
from benchmarks.shipped.file_weights import WEIGHTS, make_file_weights
from maskwise.storage import write_json

BARE: Final = ("utkface", "asian_decades")
WORN: Final = ("wear", "incorrect")
REAL: Final = "mask_photos"
RARE: Final = "mask_photos_incorrect"
BARE_FACES: Final = "bare"
FIRST: Final = ("train.epochs=4", "train.epoch_photos=40000")
SECOND: Final = (
    "preprocess.height=160", "preprocess.width=160", "optim.backbone_lr_factor=0.4",
    "train.epochs=5", "train.epoch_photos=34000",
    f"train.repeat_sources={{{REAL}: 2, {RARE}: 10}}"
)  # fmt: skip
RECIPE: Final = Path(__file__).with_name("recipe.yaml")
AGES: Final = Path(__file__).with_name("ages.yaml")
TESTED, VALIDATED = 0.1, 0.05


def maskwise(*words: object) -> None:
    """Run a command as a process of its own, and say so."""
    command = [str(word) for word in words]
    print("$ maskwise", *command, flush=True)
    subprocess.run([sys.executable, "-m", "maskwise", *command], check=True)


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


def sources_apart(manifest: Path, bare_too: bool) -> Path:
    """Return a manifest in which real masks that are worn wrong are a source of their own.

    So are, where asked for, the bare faces that masks are drawn on.
    """
    apart = manifest.with_name("bare-apart.csv" if bare_too else "rare-apart.csv")
    real = pl.col("source") == REAL
    rare = real & (pl.col("mask") == "incorrect")
    bare = ~real & (pl.col("mask") == "not_wear") & bare_too
    named = pl.when(rare).then(pl.lit(RARE)).when(bare).then(pl.lit(BARE_FACES))
    source = named.otherwise(pl.col("source")).alias("source")
    pl.read_csv(manifest, infer_schema=False).with_columns(source).write_csv(apart)
    return apart


def train(manifest: Path, run: Path, settings: Sequence[str], recipe: Path = RECIPE) -> None:
    """Train by a recipe, or go on with it."""
    begun = ["--resume"] if (run / "settings.yaml").exists() else []
    maskwise("train", manifest, "--recipe", recipe, "--out", run, *begun, *settings)


def begin(options: argparse.Namespace, manifest: Path) -> Path:
    """Train from the weights of a network that has seen faces; return the model's folder."""
    out: Path = options.out
    faces, first, second = out / "faces.safetensors", out / "first", out / "second"
    make_face_weights(options.graph, options.data / BARE[0], faces)
    train(manifest, first, [f"model.pretrained={faces}", *FIRST, *options.settings])
    began = f"model.pretrained={first / 'last'}"
    apart = sources_apart(manifest, bare_too=False)
    train(apart, second, [began, *SECOND, *options.settings])
    return second / "last"


def packaged(manifest: Path, out: Path) -> Path:
    """Return a folder with the weights of the file in the package, as they were at first."""
    folder = out / "packaged"
    if not (folder / WEIGHTS).exists():
        make_file_weights(manifest, folder)
    return folder


def finish(network: Path, manifest: Path, out: Path) -> None:
    """Make the file of a network, and print its figures."""
    model = out / "maskwise.onnx"
    maskwise("decide", network, "--on", manifest, "--temperature")
    export = ["--int8", "--mirror", "--on", manifest, "--fold", "val"]
    maskwise("export", network, *export, "--out", model)
    maskwise("evaluate", model, manifest, "--fold", "test", "--out", out / "test")
    found = figures(manifest, out / "test" / "answers.csv")
    write_json(out / "figures.json", found)
    print_figures(found)


def main(words: Sequence[str] | None = None) -> None:
    """Make the model, or go on with it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("graph", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, default=Path("runs/shipped"))
    parser.add_argument("--from-file", action="store_true")
    parser.add_argument("settings", nargs="*")
    options = parser.parse_intermixed_args(words)
    if not options.from_file and not options.graph:
        parser.error("name the graph that first weights are made of, or say --from-file")
    out = options.out
    manifest = make_manifest(options.data, out)
    if options.from_file:
        apart = sources_apart(manifest, bare_too=True)
        begun = f"model.pretrained={packaged(manifest, out)}"
        train(apart, out / "ages", [begun, *options.settings], AGES)
        finish(out / "ages" / "last", manifest, out)
    else:
        finish(begin(options, manifest), manifest, out)


if __name__ == "__main__":
    main()
