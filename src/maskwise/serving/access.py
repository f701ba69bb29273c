"""Who may call, and what they may ask."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Depends
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers

from maskwise.labels import TASKS
from maskwise.serving.keys import Keys
from maskwise.serving.problems import ProblemError
from maskwise.serving.settings import ServeSettings

KEY_HEADER: Final = "X-API-Key"
_HEADER: Final = APIKeyHeader(name=KEY_HEADER, auto_error=False)
_BEARER: Final = HTTPBearer(auto_error=False)


def check_key(keys: Keys | None, key: str | None) -> None:
    """Let a key in.

    Raises:
        ProblemError: keys are asked for, and this is none.
    """
    if keys is not None and not (key and keys.allow(key)):
        raise ProblemError(
            HTTPStatus.UNAUTHORIZED,
            f"send an API key: {KEY_HEADER}: KEY, or Authorization: Bearer KEY",
            headers={"WWW-Authenticate": "Bearer"},
        )


def shown_key(headers: Headers) -> str | None:
    """Return the key that a call shows in its headers, as routes take it."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    return headers.get(KEY_HEADER) or (bearer if scheme.lower() == "bearer" else None)


async def _anybody() -> None:
    """Accept every call; FastAPI would run a function that is not async in a thread."""


def key_check(keys: Keys | None) -> Any:
    """Return what a route depends on that lets callers with a key in."""
    if keys is None:
        return Depends(_anybody)

    async def check(
        header: Annotated[str | None, Depends(_HEADER)],
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
    ) -> None:
        check_key(keys, header or (bearer.credentials if bearer else None))

    return Depends(check)


def allowed_tasks(settings: ServeSettings, asked: Sequence[str]) -> tuple[str, ...]:
    """Return the tasks that are answered: those asked for, or all that may be.

    Raises:
        ProblemError: one is switched off.
    """
    every = tuple(TASKS) if settings.people else ("mask",)
    refused = [task for task in asked if task not in every]
    if refused:
        raise ProblemError(
            HTTPStatus.FORBIDDEN, f"{' and '.join(refused)}: switched off here; ask for mask"
        )
    return tuple(task for task in every if task in asked) if asked else every
