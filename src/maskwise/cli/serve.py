"""`maskwise serve` and `maskwise key`."""

from pathlib import Path
from typing import Annotated, Any

import typer


def _option(name: str, text: str) -> Any:
    return typer.Option(help=text, envvar=f"MASKWISE_{name}")


def serve(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="A run folder, an ensemble or an ONNX file; else the model that comes along.",
            envvar="MASKWISE_MODEL",
        ),
    ] = None,
    host: Annotated[str, _option("HOST", "Address to listen on; 0.0.0.0: all.")] = "127.0.0.1",
    port: Annotated[int, _option("PORT", "0 takes any that is free.")] = 8000,
    workers: Annotated[int, _option("WORKERS", "Processes, each with a model and queue.")] = 1,
    threads: Annotated[int, _option("THREADS", "Of each process; 0: its share of cores.")] = 0,
    batch: Annotated[int, _option("BATCH", "Faces answered at once, at most.")] = 16,
    queue: Annotated[int, _option("QUEUE", "Photos that may wait; more get 503.")] = 512,
    max_wait: Annotated[
        float, _option("MAX_WAIT", "Seconds until work on a request begins; else it gets 503.")
    ] = 0.7,
    photos: Annotated[int, _option("PHOTOS", "Photos of one request, at most.")] = 16,
    faces: Annotated[int, _option("FACES", "Faces of one photo, at most.")] = 50,
    megabytes: Annotated[float, _option("MEGABYTES", "Of one request, at most.")] = 20.0,
    held_megabytes: Annotated[
        float, _option("HELD_MEGABYTES", "Of all that clients sent, in a process.")
    ] = 100.0,
    megapixels: Annotated[float, _option("MEGAPIXELS", "Of one photo, at most.")] = 25.0,
    seconds: Annotated[float, _option("SECONDS", "To send a request, and to answer it.")] = 10.0,
    streams: Annotated[int, _option("STREAMS", "Cameras at a time, in a process.")] = 16,
    people: Annotated[
        bool, _option("PEOPLE", "Whether gender and age group may be asked for.")
    ] = True,
    keys: Annotated[Path | None, _option("KEYS", "File of maskwise key: who may call.")] = None,
    hosts: Annotated[
        list[str] | None,
        _option(
            "HOSTS",
            "Names that it is called by, such as behind a proxy; else any, or "
            "localhost where it listens there.",
        ),
    ] = None,
    origins: Annotated[
        list[str] | None, _option("ORIGINS", "Other sites whose pages may call (CORS).")
    ] = None,
    page: Annotated[bool, _option("PAGE", "Whether / is the page.")] = True,
) -> None:
    """Answer photos and cameras over HTTP, with a page to look at; nothing is stored.

    Each option may stand in an environment variable, such as MASKWISE_PORT. Ctrl-C, or SIGTERM,
    lets what was begun finish.
    """
    from pydantic import ValidationError

    from maskwise.config.base import wrong_values
    from maskwise.errors import SettingsError, listed
    from maskwise.serving.requests import HERE
    from maskwise.serving.run import serve as run
    from maskwise.serving.settings import ServeSettings

    given = {**locals(), "hosts": tuple(hosts or ()), "origins": tuple(origins or ())}
    try:
        settings = ServeSettings(**{name: given[name] for name in ServeSettings.model_fields})
    except ValidationError as error:
        raise SettingsError(
            f"the service cannot be started:\n{listed(wrong_values(error))}"
        ) from error
    if settings.keys is None and settings.host not in HERE:
        typer.echo(
            f"note: whoever reaches {settings.host} may use it; --keys asks for keys", err=True
        )
    run(settings, lambda address: typer.echo(f"Maskwise is at {address} (Ctrl-C ends it)"))


def key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    file: Annotated[Path, typer.Option(help="The file to which its hash is added.")] = Path(
        "keys.txt"
    ),
) -> None:
    """Make an API key for `maskwise serve --keys`; it is shown once, the file holds its hash."""
    from maskwise.serving.keys import add_key

    typer.echo(add_key(file, name))
