"""Errors as the service tells them: problem documents (RFC 9457)."""

import logging
import traceback
from collections.abc import MutableMapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from maskwise.errors import PhotoError

LOG: Final = logging.getLogger("maskwise.serving")
MEDIA_TYPE: Final = "application/problem+json"


class ProblemDocument(BaseModel):
    """What went wrong, and what to do about it (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[str] = []
    """All problems of the request, where there are several."""


class ProblemError(Exception):
    """A request that cannot be answered; it becomes a problem document."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        errors: list[str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.document = ProblemDocument(
            title=status.phrase, status=status, detail=detail, errors=errors or []
        )
        self.headers = headers or {}

    def response(self) -> JSONResponse:
        """Return the answer that tells of it."""
        return JSONResponse(
            self.document.model_dump(),
            self.document.status,
            headers=self.headers,
            media_type=MEDIA_TYPE,
        )


def busy(seconds: float, reason: str = "too many photos are waiting") -> ProblemError:
    """Return the problem of a service that will have room in about so many seconds."""
    wait = max(round(seconds), 1)
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"{reason}; try again in {wait} s",
        headers={"Retry-After": str(wait)},
    )


def unnamed(error: PhotoError) -> str:
    """Return what is wrong with a photo that came without a name."""
    return str(error).removeprefix("the photo: ")


def unforeseen(error: Exception) -> ProblemError:
    """Log the kind and the place of an error, never its text: that could tell of a photo."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    LOG.error("unforeseen %s in %s", type(error).__name__, where)
    detail = "an error of the service; it was logged"
    return ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, detail)


class Unforeseen:
    """Answers errors that nobody foresaw; past this, servers would log their texts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on, and answer what it raises."""
        begun = False

        async def noting(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:  # noqa: BLE001 # whatever it is
            problem = unforeseen(error)
            if scope["type"] == "http" and not begun:
                await problem.response()(scope, receive, send)


def tell_problems(app: FastAPI) -> None:
    """Let an application answer every error with a problem document; `Unforeseen` does the rest."""

    @app.exception_handler(ProblemError)
    async def _problem(_: Request, problem: ProblemError) -> JSONResponse:
        return problem.response()

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        errors = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        what = "the request has wrong values"
        return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, what, errors).response()

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        headers = dict(error.headers or {})
        return ProblemError(status, str(error.detail), headers=headers).response()


def told(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return the problems that a route may answer with, for its OpenAPI document."""
    return {
        int(status): {
            "description": status.phrase,
            "content": {MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema()}},
        }
        for status in statuses
    }
