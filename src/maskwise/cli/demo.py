"""`maskwise demo`: everything once, on drawn people."""

import shutil
from pathlib import Path
from typing import Annotated, Final

import typer

from maskwise.cli.output import console

_MARK = ".maskwise-demo"
_PAGE_PHOTOS: Final = 6
_SETTINGS = (
    "preprocess.height=144",
    "preprocess.width=112",
    "preprocess.centre=0.75",
    "train.epochs=4",
    "train.batch_size=32",
    "train.checkpoint_steps=0",
    "train.ema=0",
    "loss.class_weights=sqrt",
    "optim.lr=4e-3",
)


def demo(
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("demo"),
    people: Annotated[int, typer.Option(min=12, help="Drawn people to train on.")] = 160,
    seed: Annotated[int, typer.Option(help="Seed of the drawing, split and training.")] = 0,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the training, KEY=VALUE.")
    ] = None,
) -> None:
    """Draw a sample set, train on it, score people never seen, predict, and write a report."""
    from maskwise.cli.data import import_, samples
    from maskwise.cli.evaluate import print_evaluation, score_run
    from maskwise.cli.folds import split
    from maskwise.cli.predict import predict
    from maskwise.cli.train import train
    from maskwise.settings import load_settings

    settings = [*_SETTINGS, f"train.seed={seed}", f"cache.folder={out / 'cache'}"]
    settings += overrides or []
    cache = load_settings(None, settings).cache
    _clear(out)
    drawn, manifest, run = out / "samples", out / "manifest.csv", out / "run"
    _say(f"maskwise data samples {drawn} --people {people} --seed {seed}")
    samples(drawn, people=people, seed=seed)
    _say(f"maskwise data import {drawn / 'train'} --out {manifest}")
    import_(drawn / "train", out=manifest)
    _say(f"maskwise data split {manifest} --val 0.15 --seed {seed}")
    split(manifest, val=0.15, seed=seed)
    _say(f"maskwise train {manifest} --out {run} {' '.join(settings)}")
    train([str(manifest), *settings], out=run)
    predictions = out / "predictions.csv"
    _say(f"maskwise predict {run} {drawn / 'eval' / 'info.csv'} --out {predictions}")
    predict([str(run), str(drawn / "eval" / "info.csv")], out=predictions)
    _say(f"maskwise evaluate {run} {drawn / 'eval'} --out {out}")
    pictures = _page_picture(run, drawn / "eval" / "images", out)
    result = score_run(run, drawn / "eval", None, out, cache, pictures=pictures)
    print_evaluation(result)
    typer.echo(f"report {result['report']}")
    typer.echo(f"macro-F1 {result['classes']['macro_f1']:.4f}")


def _page_picture(run: Path, photos: Path, out: Path) -> dict[str, Path]:
    """Let the page answer some photos by the demo's model; no picture where there is no browser."""
    from maskwise.serving.screenshot import browser_program, opened, photos_picture, served

    program = browser_program()
    if program is None:
        typer.echo("no Chromium and playwright: the report has no picture of the page")
        return {}
    _say(f"maskwise serve {run}")
    chosen = sorted(photos.rglob("*.jpg"))[:_PAGE_PHOTOS]
    with served(run) as address, opened(program, address) as page:
        photos_picture(page, chosen, out / "page.png")
    return {"The page": out / "page.png"}


def _clear(out: Path) -> None:
    """Remove what an earlier demo wrote; refuse a folder that holds anything else."""
    from maskwise.errors import SettingsError
    from maskwise.storage import write_text

    if out.is_dir() and any(out.iterdir()):
        if not (out / _MARK).is_file():
            raise SettingsError(f"--out {out}: the folder holds other things; name a new one")
        shutil.rmtree(out)
    write_text(out / _MARK, "Written by `maskwise demo`, which replaces this folder.\n")


def _say(command: str) -> None:
    console().print(f"\n$ {command}", style="bold", soft_wrap=True)
