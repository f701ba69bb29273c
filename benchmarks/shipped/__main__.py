r"""Makes the bundled model, from photos to the file in the package, with its figures.

    git show 7ee4ea8:src/maskwise/models/shipped/maskwise.onnx > begin.onnx
    python -m benchmarks.shipped ../shared/data begin.onnx --out runs/shipped
    python -m benchmarks.shipped ../shared/data package/models/faceres-deep.json \
        --out runs/faceres [--without all_age_faces] [KEY=VALUE ...]

The folder holds the sources of `data.py`; the second file is what training begins with. Masks are
rendered on some of the bare faces. People are split, near-duplicates together, over all sources at
once: a tenth is the test set and takes no part here; a twenty-fifth of the others validates and
calibrates. A stopped run goes on when the command is given again. KEY=VALUE are settings of every
training, beside those of `recipe.yaml`.

Training begins with an int8 file of the bundled model and takes 40,000 photos of 160 pixels
(`file_weights.py`); people of the test set may have trained that file. Or it begins with a network
that knows faces, but not these people (`face_weights.py` says how to get it), and takes two epochs
at 112 pixels, where a photo costs half, and then 60,000 photos at 160.

`--without` leaves a source out of training, calibration and quantization; its test people then show
what the model is worth on photos of a source that it never saw. (`face_weights.py` takes statistics
of batch norms from some faces of UTKFace; they leave what the network computes as it is.)
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from benchmarks.commands import maskwise
from benchmarks.shipped.data import RARE, REAL, make_manifests
from benchmarks.shipped.face_weights import make_face_weights
from benchmarks.shipped.figures import figures, print_figures
from benchmarks.shipped.file_weights import WEIGHTS, make_file_weights
from maskwise.storage import replacing, write_json

RECIPE: Final = Path(__file__).with_name("recipe.yaml")
FACES: Final = "utkface"
"""The source whose photos give batch norms their statistics."""
SMALL: Final = (
    "preprocess.height=112", "preprocess.width=112", "train.epochs=2", "optim.lr=1.5e-3",
    "train.ema=0.998",
)  # fmt: skip
LARGE: Final = (
    "preprocess.height=160", "preprocess.width=160", "train.epochs=1", "train.epoch_photos=60000",
    "optim.lr=5e-4", "train.ema=0.997", "model.pretrained_heads=true",
)  # fmt: skip


ON: Final = ("train.epoch_photos=40000", "optim.lr=1e-3", "train.ema=0.99")
"""What differs where a network is trained on that knows the tasks."""


def train(manifest: Path, run: Path, pretrained: Path, settings: Sequence[str]) -> None:
    """Train by the recipe from some weights, or go on with it."""
    begun = ["--resume"] if (run / "settings.yaml").exists() else []
    weights = f"model.pretrained={pretrained}"
    maskwise("train", manifest, "--recipe", RECIPE, "--out", run, *begun, weights, *settings)


def make_network(options: argparse.Namespace, manifest: Path, out: Path) -> Path:
    """Train from the file that is named; return the model's folder."""
    more = [*leave_out(options.without), *options.settings]
    large = out / "large"
    if options.begin.suffix == ".onnx":
        packaged = options.out / "packaged"
        if not (packaged / WEIGHTS).exists():
            make_file_weights(manifest, packaged, options.begin)
        train(manifest, large, packaged, [*LARGE, *ON, *more])
        return large / "last"
    faces = options.out / "faces.safetensors"
    if not faces.exists():
        make_face_weights(options.begin, options.data / FACES, faces)
    train(manifest, out / "small", faces, [*SMALL, *more])
    train(manifest, large, out / "small" / "last", [*LARGE, *more])
    return large / "last"


def leave_out(source: str | None) -> list[str]:
    """Return the setting that leaves a source out of training, with all that is part of it."""
    if source is None:
        return []
    parts = [REAL, RARE] if source == REAL else [source]
    return [f"train.leave_out_sources=[{','.join(parts)}]"]


def without(manifest: Path, source: str | None, out: Path) -> Path:
    """Return a manifest without a source: for what follows training, which must not see it."""
    if source is None:
        return manifest
    others = out / "others.csv"
    frame = pl.read_csv(manifest, infer_schema=False)
    others.parent.mkdir(parents=True, exist_ok=True)
    with replacing(others) as temporary:
        frame.filter(~pl.col("source").str.starts_with(source)).write_csv(temporary)
    return others


def finish(network: Path, train: Path, test: Path, out: Path) -> None:
    """Make the file of a network, and print its figures."""
    model = out / "maskwise.onnx"
    maskwise("decide", network, "--on", train, "--temperature")
    export = ["--int8", "--on", train, "--fold", "val"]
    maskwise("export", network, *export, "--out", model)
    maskwise("evaluate", model, test, "--fold", "test", "--out", out / "test")
    found = figures(test, out / "test" / "answers.csv")
    write_json(out / "figures.json", found)
    print_figures(found)


def main(words: Sequence[str] | None = None) -> None:
    """Make the model, or go on with it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("begin", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/shipped"))
    parser.add_argument("--without", metavar="SOURCE")
    parser.add_argument("settings", nargs="*")
    options = parser.parse_intermixed_args(words)
    manifest, test = make_manifests(options.data, options.out)
    out = options.out / f"without-{options.without}" if options.without else options.out
    network = make_network(options, manifest, out)
    finish(network, without(manifest, options.without, out), test, out)


if __name__ == "__main__":
    main()
