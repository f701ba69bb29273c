"""Makes the model that comes along, from photos to the file in the package, and prints its figures.

    python -m benchmarks.shipped ../shared/data --out runs/shipped [--resume] [KEY=VALUE ...]

The folder holds `utkface`, `asian_decades` and `mask_photos`. Masks are drawn on the bare faces of
the first two. People are split, near-duplicates together: a tenth is tested on and seen by nothing
else, a twentieth of the others validates and calibrates. A stopped run goes on when the command is
given again. KEY=VALUE are settings of the training, beside those of `recipe.yaml`.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from benchmarks.shipped.figures import figures, print_figures
from maskwise.storage import write_json

BARE: Final = ("utkface", "asian_decades")
REAL: Final = "mask_photos"
RECIPE: Final = Path(__file__).with_name("recipe.yaml")
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
    for name in BARE:
        maskwise("data", "mask", out / f"{name}.csv", "--out", out / f"{name}-masked",
                 "--wear", 1, "--incorrect", 1, "--bare", 1, "--seed", 0)  # fmt: skip
    sets = [*(out / f"{name}-masked" / "manifest.csv" for name in BARE), out / f"{REAL}.csv"]
    joined = out / "joined.csv"
    maskwise("data", "merge", *sets, "--out", joined, "--force")
    split_off(joined, TESTED, "test")
    maskwise("data", "split", joined, "--val", VALIDATED, "--seed", 0)
    joined.rename(manifest)
    return manifest


def split_off(manifest: Path, share: float, fold: str) -> None:
    """Put a share of the people into a fold of their own; the others have none yet."""
    maskwise("data", "split", manifest, "--val", share, "--seed", 0, "--reassign")
    frame = pl.read_csv(manifest, infer_schema=False)
    apart = pl.when(pl.col("fold") == "val").then(pl.lit(fold)).otherwise(None)
    frame.with_columns(apart.alias("fold")).write_csv(manifest)


def main(words: Sequence[str] | None = None) -> None:
    """Make the model, or go on with it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/shipped"))
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("settings", nargs="*")
    options = parser.parse_args(words)
    out, run = options.out, options.out / "run"
    manifest = make_manifest(options.data, out)
    taught = ["--teacher", options.teacher] if options.teacher else []
    resume = ["--resume"] if (run / "settings.yaml").exists() else []
    maskwise("train", manifest, "--recipe", RECIPE, "--out", run, *taught, *resume,
             *options.settings)  # fmt: skip
    maskwise("decide", run / "last", "--on", manifest, "--temperature")
    model = out / "maskwise.onnx"
    maskwise("export", run / "last", "--int8", "--on", manifest, "--fold", "val", "--out", model)
    maskwise("evaluate", model, manifest, "--fold", "test", "--out", out / "test")
    found = figures(manifest, out / "test" / "answers.csv")
    write_json(out / "figures.json", found)
    print_figures(found)


if __name__ == "__main__":
    main()
