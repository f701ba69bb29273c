"""The page and its files. It loads nothing from elsewhere, and says so to the browser."""

from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

_FOLDER: Final = Path(__file__).parent / "static"
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class _Static(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response


def add_page(app: FastAPI, folder: Path = _FOLDER) -> None:
    """Add the page at / and its files, those of a folder, to an application.

    At /shared/ are the files of the service's page, for others.
    """
    app.mount("/static", _Static(directory=folder), name="static")
    if folder != _FOLDER:
        app.mount("/shared", _Static(directory=_FOLDER), name="shared")

    @app.get("/", include_in_schema=False)
    async def page() -> Any:
        return FileResponse(folder / "index.html", headers=_HEADERS)
