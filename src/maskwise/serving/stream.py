"""Cameras over a WebSocket: a frame goes in, who is seen comes out, frame by frame.

The client may begin with a JSON object {"tasks": ["mask"], "key": "..."}; every binary message is
one picture, and is answered by one JSON object before the next is read. So a client that waits for
its answer shows the newest frame, however slow the network is.
"""

import asyncio
import json
import time
from collections.abc import MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketState

from maskwise.config.base import wrong_values
from maskwise.errors import PhotoError
from maskwise.prediction.passes import Pass, Person, Watch
from maskwise.serving.access import allowed_tasks, check_key, shown_key
from maskwise.serving.answering import Answerer, check_finds_faces
from maskwise.serving.camera_connection import STATE
from maskwise.serving.keys import Keys
from maskwise.serving.metrics import Metrics
from maskwise.serving.places import Places, WaitingRoom
from maskwise.serving.problems import ProblemError, told, unforeseen, unnamed
from maskwise.serving.requests import foreign_origin
from maskwise.serving.schemas import Task
from maskwise.serving.settings import ServeSettings

_QUIET: Final = 60.0
"""Seconds without a frame after which a camera is let go."""
_KEY_SECONDS: Final = 5.0
"""Seconds in which a camera must show its key, where keys are asked for."""
_ASKED: Final = 128
"""Cameras that may be asked for their key at a time."""
_CLOSED: Final[dict[int, int]] = {
    HTTPStatus.INTERNAL_SERVER_ERROR: 1011,
    HTTPStatus.SERVICE_UNAVAILABLE: 1013,
}
"""Status of a problem -> the code that a socket is closed with (RFC 6455); else 1008."""


class _Wish(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tasks: list[Task] = ["mask"]
    key: str | None = None


def add_stream(app: FastAPI, settings: ServeSettings, metrics: Metrics, keys: Keys | None) -> None:
    """Add the route of cameras to an application."""
    watched, waiting = Places(settings.streams), WaitingRoom(_ASKED)

    def check(caller: HTTPConnection) -> None:
        check_finds_faces(app.state.answerer)
        _check_origin(caller, settings)
        watched.check()

    @app.get(
        "/v1/stream",
        summary="Whether a camera may connect now: browsers do not show why a socket failed.",
        responses=told(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_IMPLEMENTED,
                       HTTPStatus.SERVICE_UNAVAILABLE),
    )  # fmt: skip
    async def place(request: Request) -> dict[str, str]:
        check(request)
        return {"status": "free"}

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        try:
            check(socket)
            tasks = allowed_tasks(settings, ["mask"])
            key = shown_key(socket.headers)
            if keys is None or key is not None:  # pages cannot show one before they are let in
                check_key(keys, key)
            else:
                await socket.accept()
                tasks = allowed_tasks(settings, (await _first_wish(socket, keys, waiting)).tasks)
            with watched.taken(), metrics.streaming():
                _let_in(socket)
                if socket.application_state is WebSocketState.CONNECTING:
                    await socket.accept()
                await _watch(socket, app.state.answerer, settings, keys, tasks)
        except ProblemError as problem:
            await _refuse(socket, problem)
        except _GoneError:
            pass
        except Exception as error:  # noqa: BLE001 # whatever it is, the camera is told
            await _refuse(socket, unforeseen(error))


def _let_in(socket: WebSocket) -> None:
    """Let the connection, where it is a server's, take pictures."""
    connection = socket.scope.get("state", {}).get(STATE)
    if connection is not None:
        connection.let_in()


class _GoneError(Exception):
    """The camera has gone, at whatever moment."""


async def _first_wish(socket: WebSocket, keys: Keys, waiting: WaitingRoom) -> _Wish:
    """Return what a camera wishes that must show a key before it gets a place.

    Raises:
        ProblemError: It shows none in time.
    """
    text = (await _message(socket, waiting.entered(_KEY_SECONDS), "key")).get("text")
    wish = _Wish() if text is None else _wish(text)
    check_key(keys, wish.key)
    return wish


def _check_origin(caller: HTTPConnection, settings: ServeSettings) -> None:
    """Check that a caller is this service's page's, a named site's, or no browser's.

    Browsers let any page open one, and CORS does not stop them.

    Raises:
        ProblemError: it is another page's.
    """
    origin = foreign_origin(caller.headers)
    if origin is not None and not {"*", origin} & set(settings.origins):
        other = "pages of other sites may not watch; see --origins"
        raise ProblemError(HTTPStatus.FORBIDDEN, other)


async def _watch(
    socket: WebSocket,
    answerer: Answerer,
    settings: ServeSettings,
    keys: Keys | None,
    tasks: Sequence[str],
) -> None:
    """Answer the frames of one camera until it goes.

    Raises:
        ProblemError: what it wishes makes no sense, its key is wrong, or no frame came for long.
        _GoneError: it went.
    """
    watch, frame, last = Watch(), 0, time.monotonic()
    while True:
        quiet = asyncio.timeout(max(last + _QUIET - time.monotonic(), 0))
        message = await _message(socket, quiet, "frame")
        text, picture = message.get("text"), message.get("bytes")
        if text is not None:
            wish = _wish(text)
            if wish.key is not None:
                check_key(keys, wish.key)
            tasks = allowed_tasks(settings, wish.tasks)
            continue
        frame, last = frame + 1, time.monotonic()
        answer = await _answer_frame(answerer, picture or b"", watch, tasks)
        milliseconds = round(1000 * (time.monotonic() - last), 1)
        await _send(socket, {"frame": frame, **answer, "milliseconds": milliseconds})


async def _message(
    socket: WebSocket, limit: AbstractAsyncContextManager[Any], wanted: str
) -> MutableMapping[str, Any]:
    """Return the next message of a camera, if it comes within a limit of time.

    Raises:
        ProblemError: None came in time.
        _GoneError: It went.
    """
    try:
        async with limit:
            message = await socket.receive()
    except TimeoutError as error:
        raise ProblemError(HTTPStatus.REQUEST_TIMEOUT, f"no {wanted} came in time") from error
    except RuntimeError as error:  # it was closed before
        raise _GoneError from error
    if message["type"] == "websocket.disconnect":
        raise _GoneError
    return message


async def _send(socket: WebSocket, answer: dict[str, Any]) -> None:
    """Send an answer.

    Raises:
        _GoneError: nobody is there.
    """
    try:
        await socket.send_text(json.dumps(answer))
    except (WebSocketDisconnect, RuntimeError) as error:
        raise _GoneError from error


def _wish(text: str) -> _Wish:
    try:
        return _Wish.model_validate_json(text)
    except ValidationError as error:
        expected = 'expected a picture, or {"tasks": [...], "key": "..."}'
        raise ProblemError(HTTPStatus.BAD_REQUEST, expected, wrong_values(error)) from error


async def _answer_frame(
    answerer: Answerer, picture: bytes, watch: Watch, tasks: Sequence[str]
) -> dict[str, Any]:
    """Return who is seen in a picture, or the problem with it; the camera may go on."""
    try:
        (answered,) = await answerer.answer([picture])
    except ProblemError as problem:
        return {"problem": problem.document.model_dump()}
    if isinstance(answered, PhotoError):
        unread = ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, unnamed(answered))
        return {"problem": unread.document.model_dump()}
    passes = watch.see(answered.faces, time.monotonic())
    return {
        "size": answered.size,
        "people": [_person(person, tasks) for person in watch.people],
        "passed": [_pass(passed) for passed in passes],
        "counts": watch.counts,
    }


def _person(person: Person, tasks: Sequence[str]) -> dict[str, Any]:
    return {
        "number": person.number,
        "box": [round(edge, 1) for edge in person.box],
        "state": person.state,
        **{task: person.word(task) for task in tasks if task != "mask"},
        "probabilities": {
            task: {word: round(share, 4) for word, share in person.shares[task].items()}
            for task in tasks
        },
    }


def _pass(passed: Pass) -> dict[str, Any]:
    seconds = round(passed.ended - passed.began, 2)
    return {"number": passed.number, "state": passed.state, "seconds": seconds}


async def _refuse(socket: WebSocket, problem: ProblemError) -> None:
    """Tell a camera why it is let go, as far as it still listens."""
    with suppress(_GoneError, WebSocketDisconnect, RuntimeError):
        if socket.application_state is WebSocketState.CONNECTING:
            await socket.send_denial_response(problem.response())
            return
        await _send(socket, {"problem": problem.document.model_dump()})
        await socket.close(_CLOSED.get(problem.document.status, 1008), problem.document.title)
