"""Settings of the service."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from maskwise.config.base import Section
from maskwise.cores import core_count

SETTINGS: Final = "MASKWISE_SERVE_SETTINGS"
"""Environment variable that hands the settings to worker processes, as JSON."""
METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable: the folder in which several processes add up their figures."""


class ServeSettings(Section):
    """What the service answers, where, and how much it takes on."""

    model: Path | None = None
    """A run folder, an ensemble or an ONNX file; none: the model that comes with Maskwise."""
    host: str = "127.0.0.1"
    """Address that is listened on; 0.0.0.0 is every one."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """0 takes any that is free."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes; each has a model, a queue and limits of its own."""
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    """Threads of a process that decode and compute; 0: its share of the cores."""
    batch: Annotated[int, Field(ge=1, le=1024)] = 16
    """Faces that are answered at once, at most."""
    queue: Annotated[int, Field(ge=1, le=100_000)] = 512
    """Photos that may wait in a process; more are refused with 503."""
    max_wait: Annotated[float, Field(gt=0, le=600)] = 0.7
    """Seconds in which work on a request must begin; one that waits longer is refused with 503."""
    photos: Annotated[int, Field(ge=1, le=1000)] = 16
    """Photos of one request."""
    faces: Annotated[int, Field(ge=1, le=1000)] = 50
    """Faces of one photo that are answered: the largest."""
    megabytes: Annotated[float, Field(gt=0, le=1000)] = 20.0
    """Size of a request."""
    held_megabytes: Annotated[float, Field(gt=0, le=100_000)] = 100.0
    """Size of all that clients sent and a process holds at a time; more is refused with 503."""
    megapixels: Annotated[float, Field(gt=0, le=100)] = 25.0
    """Size of a photo."""
    seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """Time in which a request must have come in, and in which it is answered or refused."""
    streams: Annotated[int, Field(ge=0, le=10_000)] = 16
    """Cameras that may be watched at a time, in a process."""
    people: bool = True
    """Whether gender and age group may be asked for; false: mask wear only."""
    keys: Path | None = None
    """File of the API keys' hashes; see `maskwise key`. none: nobody needs a key."""
    hosts: tuple[str, ...] = ()
    """Names that the service is called by (Host); none: any, or this machine's where it listens."""
    origins: tuple[str, ...] = ()
    """Origins of other sites whose pages may call this service (CORS)."""
    page: bool = True
    """Whether / is the page."""

    def problems(self) -> Iterator[str]:
        """Yield what cannot stand together."""
        for origin in self.origins:
            if origin != "*" and not origin.startswith(("http://", "https://")):
                yield f"origins: {origin!r} is no origin, such as https://door.example"
        for host in self.hosts:
            if "/" in host or host.count(":") == 1:
                yield f"hosts: {host!r}: give the name alone, such as door.example"
        if "*" in self.origins and self.keys is None:
            yield "origins: * lets every page of the world call this; name them, or set keys"
        if self.photos > self.queue:
            yield f"photos {self.photos}: a request of so many never fits a queue of {self.queue}"
        if self.megabytes > self.held_megabytes:
            yield (
                f"megabytes {self.megabytes:g}: no request of so many fits held_megabytes "
                f"{self.held_megabytes:g}"
            )

    @property
    def process_threads(self) -> int:
        """Threads of each process."""
        return self.threads or max(core_count() // self.workers, 1)
