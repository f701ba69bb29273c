"""Starts the labelling page."""

from collections.abc import Callable

import uvicorn

from maskwise.labeling.app import create_app
from maskwise.labeling.store import Store
from maskwise.labeling.watched import WatchedManifest
from maskwise.serving.requests import HERE
from maskwise.serving.run import address, listen


def serve_labels(
    store: Store,
    manifest: WatchedManifest,
    host: str,
    port: int,
    twice: bool,
    told: Callable[[str], None],
) -> None:
    """Answer until a signal ends this process; `told` is given the address, just before.

    Raises:
        SettingsError: the address cannot be had.
    """
    with listen(host, port) as listening:
        told(address(host, listening))
        names = (*HERE, "[::1]") if host in HERE else ("*",)
        config = uvicorn.Config(
            create_app(store, manifest, twice, names),
            log_level="warning",
            access_log=False,
            server_header=False,
        )
        uvicorn.Server(config).run(sockets=[listening])
