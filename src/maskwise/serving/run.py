"""Starts the service: one process, or several that share a port."""

import math
import os
import socket
import tempfile
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from maskwise.errors import SettingsError
from maskwise.serving.answering import ready_predictor
from maskwise.serving.camera_connection import CameraConnection
from maskwise.serving.connection import Connection
from maskwise.serving.keys import Keys
from maskwise.serving.settings import METRICS_FOLDER, SETTINGS, ServeSettings

_KEEP_ALIVE: Final = 15
"""Seconds that an idle connection is kept."""
_PICTURE: Final = 8.0
"""Megabytes of a camera's picture, at most: of a photo in 4K, saved as PNG."""
_CONNECTIONS: Final = 1000
"""Connections, idle ones included, beyond the photos and cameras that may wait; more get 503."""


def serve(settings: ServeSettings, told: Callable[[str], None]) -> None:
    """Answer requests until a signal ends this process; what was begun is finished.

    `told` is given the address, just before.

    Raises:
        RunError: there is no model, or it is damaged.
        DetectorError: the face detector that it was trained with cannot be had.
        SettingsError: the address cannot be had, or the file of keys cannot be used.
    """
    # what is wrong is told here, once, and not by each worker
    ready_predictor(settings)
    if settings.keys:
        Keys.read(settings.keys)
    with ExitStack() as stack:
        listening = stack.enter_context(listen(settings.host, settings.port))
        os.environ[SETTINGS] = settings.model_dump_json()
        if settings.workers > 1:
            os.environ[METRICS_FOLDER] = stack.enter_context(tempfile.TemporaryDirectory())
        config = uvicorn.Config(
            "maskwise.serving.run:app_from_environment",
            factory=True,
            workers=settings.workers,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE,
            # a request may take as long to come in, and again to be answered
            timeout_graceful_shutdown=math.ceil(2 * settings.seconds) + 1,
            http=Connection,
            limit_concurrency=settings.queue + settings.streams + _CONNECTIONS,
            ws=CameraConnection,
            ws_max_size=int(min(settings.megabytes, _PICTURE) * 1e6),
            ws_per_message_deflate=False,  # 2 MB would unpack to 2 GB
        )
        told(address(settings.host, listening))
        if settings.workers > 1:
            Multiprocess(config, sockets=[listening]).run()
        else:
            uvicorn.Server(config).run(sockets=[listening])


def app_from_environment() -> FastAPI:
    """Return the application for the settings that `serve` left for its processes."""
    # the metrics' library reads its folder when it is imported
    from maskwise.serving.api import create_app

    # odd photos of clients are no news of the service, and threads undo each other's filters
    warnings.filterwarnings("ignore", module=r"PIL\.")
    return create_app(ServeSettings.model_validate_json(os.environ[SETTINGS]))


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens, for this process and those that it starts.

    Raises:
        SettingsError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {_shown(host)}:{port}: {error.strerror or error}; choose another "
            "--host or --port"
        ) from error
    listening.set_inheritable(True)
    return listening


def address(host: str, listening: socket.socket) -> str:
    """Return the address of what listens, as a browser takes it."""
    return f"http://{_shown(host)}:{listening.getsockname()[1]}"


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
