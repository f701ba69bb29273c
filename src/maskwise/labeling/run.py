"""Starts the labelling page."""

import socket
from collections.abc import Callable
from typing import Final

import uvicorn

from maskwise.errors import SettingsError
from maskwise.labeling.app import create_app
from maskwise.labeling.store import Store

_HERE: Final = ("127.0.0.1", "localhost", "::1", "[::1]")


def serve_labels(
    store: Store, title: str, host: str, port: int, twice: bool, told: Callable[[str], None]
) -> None:
    """Answer until a signal ends this process; `told` is given the address, just before.

    Raises:
        SettingsError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port"
        ) from error
    with listening:
        shown = f"[{host}]" if ":" in host else host
        told(f"http://{shown}:{listening.getsockname()[1]}")
        names = _HERE if host in _HERE else ("*",)
        config = uvicorn.Config(
            create_app(store, title, twice, names), log_level="warning", access_log=False,
            server_header=False,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listening])
