"""What Prometheus is told: times, faces by mask state, the queue. Nothing of any photo."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from maskwise.prediction.result import Prediction
from maskwise.serving.settings import METRICS_FOLDER

_SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_FACES: Final = (0, 1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The figures of one process; with several, `text` tells those of all."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "maskwise_request_seconds",
            "Time from a request to its answer.",
            ["route", "status"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._faces = Counter(
            "maskwise_faces", "Faces answered, by mask state.", ["state"], registry=self._registry
        )
        self._refused = Counter(
            "maskwise_refused", "Requests refused as the queue was full.", registry=self._registry
        )
        self._batch = Histogram(
            "maskwise_batch_faces",
            "Faces answered at once.",
            buckets=_FACES,
            registry=self._registry,
        )
        self._queue = Gauge(
            "maskwise_queue_photos",
            "Photos that are waiting or being answered.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        self._streams = Gauge(
            "maskwise_streams",
            "Cameras that are being watched.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Note a request that was answered."""
        self._seconds.labels(route, str(status)).observe(seconds)

    def found(self, faces: Sequence[Prediction]) -> None:
        """Note the faces of a photo."""
        for face in faces:
            self._faces.labels(face.mask).inc()

    def refused(self) -> None:
        """Note a request for which there was no room."""
        self._refused.inc()

    def batch(self, faces: int) -> None:
        """Note faces answered at once."""
        self._batch.observe(faces)

    def queue(self, more: int) -> None:
        """Note photos that came, or (below 0) went."""
        self._queue.inc(more)

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Count a camera while it is watched."""
        self._streams.inc()
        try:
            yield
        finally:
            self._streams.dec()

    def text(self) -> bytes:
        """Return all figures as Prometheus reads them."""
        registry = self._registry
        folder = os.environ.get(METRICS_FOLDER)
        if folder:
            _forget_ended(Path(folder))
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def _forget_ended(folder: Path) -> None:
    """Remove the gauges of processes that have ended, which else would count for ever."""
    for file in folder.glob("gauge_live*_*.db"):
        number = file.stem.rpartition("_")[2]
        if (
            number.isdigit()
            and not Path(f"/proc/{number}").exists()
            and Path("/proc/self").exists()
        ):
            file.unlink(missing_ok=True)
