r"""Makes the bundled model, from photos to the file in the package, with its figures.

    python -m benchmarks.shipped ../shared/data package/models/faceres-deep.json \
        --out runs/shipped [--without all_age_faces] [KEY=VALUE ...]
    python -m benchmarks.shipped ../shared/data OLDER.onnx --out runs/shipped

The folder holds the sources of `data.py`; the second file is what training begins with. Masks are
rendered on some of the bare faces. People are split, near-duplicates together, over all sources at
once: a tenth is the test set and takes no part here; a twenty-fifth of the others validates and
calibrates. A stopped run goes on when the command is given again. KEY=VALUE are settings of every
training, beside those of `recipe.yaml`.

Training begins with a network that knows faces, but not these people (`face_weights.py` says how to
get it): 100,000 photos at a low learning rate of the backbone, then 250,000 at a higher one. A
third training begins with the mean of both ends' weights; it draws genders and age groups of each
source evenly, and crops vary more. The model is the mean of the weights before and after it. (All
photos first, then evenly: B. Kang et al., Decoupling representation and classifier for long-tailed
recognition, ICLR 2020.) Or training begins with an int8 file of the bundled model
(`file_weights.py`) and takes the third; people of the test set may have trained that file.

`--without` leaves a source out of training, calibration and quantization; its test people then show
what the model is worth on photos of a source that it never saw. (`face_weights.py` takes statistics
of batch norms from some faces of UTKFace; they leave what the network computes as it is.)
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl
from safetensors.torch import load_file

from benchmarks.commands import maskwise
from benchmarks.shipped.data import RARE, REAL, make_manifests
from benchmarks.shipped.face_weights import make_face_weights
from benchmarks.shipped.figures import figures, print_figures
from benchmarks.shipped.file_weights import WEIGHTS, make_file_weights
from maskwise.models.bundle import read_info, save_bundle
from maskwise.storage import replacing, write_json

RECIPE: Final = Path(__file__).with_name("recipe.yaml")
FACES: Final = "utkface"
"""The source whose photos give batch norms their statistics."""
_REPEATS: Final = (
    "{mask_photos: 2, mask_photos_incorrect: 8, worn_wrong: 10, gender_masks: 2, walking_masks: 2}"
)
FIRST: Final = (
    "train.epoch_photos=100000", "optim.lr=1.5e-3", "optim.backbone_lr_factor=0.25",
    "train.ema=0.997", f"train.repeat_sources={_REPEATS}",
)  # fmt: skip
"""Of a network that knows faces, with heads that know nothing."""
SECOND: Final = ("model.pretrained_heads=true",)
"""Of a network that knows the tasks."""
THIRD: Final = (
    *SECOND, "train.sampling=even", "train.sample_by=source_gender_age_group",
    "train.repeat_sources={mask_photos: 3, mask_photos_incorrect: 2, gender_masks: 2}",
    "augment.zoom=0.35", "augment.shift=0.1",
)  # fmt: skip
"""Of one that shall be as right about few people as about many."""
SHARES: Final = {"features": 0.6, "mean": 0.5}
"""Folder of a mean -> weight of the training that came last, chosen on validation people: of the
features by macro-F1, of the model by balanced accuracy."""


def train(manifest: Path, run: Path, pretrained: Path, settings: Sequence[str]) -> None:
    """Train by the recipe from some weights, or go on with it."""
    begun = ["--resume"] if (run / "settings.yaml").exists() else []
    weights = f"model.pretrained={pretrained}"
    maskwise("train", manifest, "--recipe", RECIPE, "--out", run, *begun, weights, *settings)


def make_network(options: argparse.Namespace, manifest: Path, out: Path) -> Path:
    """Train from the file that is named; return the model's folder."""
    more = [*leave_out(options.without), *options.settings]
    if options.begin.suffix == ".onnx":
        begun = options.out / "packaged"
        if not (begun / WEIGHTS).exists():
            make_file_weights(manifest, begun, options.begin)
    else:
        begun = make_features(options, manifest, out, more)
    train(manifest, out / "third", begun, [*THIRD, *more])
    return mean_of(begun, out / "third" / "last", out / "mean")


def make_features(
    options: argparse.Namespace, manifest: Path, out: Path, more: Sequence[str]
) -> Path:
    """Train a network that knows faces on all photos as they come; return the model's folder."""
    faces = options.out / "faces.safetensors"
    if not faces.exists():
        make_face_weights(options.begin, options.data / FACES, faces)
    train(manifest, out / "first", faces, [*FIRST, *more])
    first, second = out / "first" / "last", out / "second" / "last"
    train(manifest, out / "second", first, [*SECOND, *more])
    return mean_of(first, second, out / "features")


def mean_of(first: Path, second: Path, out: Path) -> Path:
    """Write the weighted mean of the weights of two models, with statistics of batch norms."""
    if not (out / WEIGHTS).exists():
        before, after = (load_file(folder / WEIGHTS) for folder in (first, second))
        share = SHARES[out.name]
        mean = {
            name: ((1 - share) * before[name] + share * value).to(value.dtype)
            for name, value in after.items()
        }
        save_bundle(out, mean, read_info(second))
    return out


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
