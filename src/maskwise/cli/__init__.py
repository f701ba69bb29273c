"""The command line. Each command imports what it needs when it runs, so that help is quick."""

import sys
from typing import Annotated

import typer

from maskwise.cli.average import average
from maskwise.cli.camera import camera
from maskwise.cli.data import app as data_app
from maskwise.cli.decide import decide
from maskwise.cli.demo import demo
from maskwise.cli.ensemble import ensemble
from maskwise.cli.evaluate import evaluate
from maskwise.cli.explain import explain
from maskwise.cli.export import export
from maskwise.cli.label import app as label_app
from maskwise.cli.output import show_every_character
from maskwise.cli.predict import predict
from maskwise.cli.pseudo import pseudo
from maskwise.cli.queue import queue
from maskwise.cli.recipes import compare, recipes
from maskwise.cli.search import search
from maskwise.cli.serve import key, serve
from maskwise.cli.submission import diff, score, submit
from maskwise.cli.train import settings, train
from maskwise.errors import MaskwiseError
from maskwise.version import __version__

_EXTRAS = {
    **dict.fromkeys(("torch", "timm", "accelerate", "kornia", "safetensors"), "train"),
    "pytorch_optimizer": "train",
    "psutil": "train",
    "optuna": "search",
    "av": "camera",
    **dict.fromkeys(("onnx", "onnxscript"), "export"),
    "sklearn": "train",
}
"""Library -> the extra that installs it."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich help would cost half of the time that help takes
    help="Mask wear, gender and age group from photos of faces.",
)
app.command()(demo)
app.add_typer(data_app, name="data")
app.add_typer(label_app, name="label")
app.command()(train)
app.command()(evaluate)
app.command()(predict)
app.command()(settings)
app.command()(recipes)
app.command()(compare)
app.command()(search)
app.command()(ensemble)
app.command()(average)
app.command()(queue)
app.command()(decide)
app.command()(export)
app.command()(explain)
app.command()(serve)
app.command()(camera)
app.command()(key)
app.command()(pseudo)
app.command()(submit)
app.command()(score)
app.command()(diff)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"maskwise {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Mask wear, gender and age group from photos of faces."""


def main() -> None:
    """Run the command line; a user's mistake ends with a message and exit code 2."""
    show_every_character()
    try:
        app()
    except MaskwiseError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(error.name or "")
        if extra is None:
            raise
        typer.echo(
            f"error: this command needs {error.name}: pip install 'maskwise[{extra}]'", err=True
        )
        sys.exit(2)
    except MemoryError:
        typer.echo("error: the memory is not enough for this", err=True)
        sys.exit(2)
    except OSError as error:
        typer.echo(f"error: {error.filename or ''}: {error.strerror or error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        sys.exit(130)
