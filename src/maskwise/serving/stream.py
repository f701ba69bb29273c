"""Cameras over a WebSocket: a frame goes in, who is seen comes out, frame by frame.

The client may begin with a JSON object {"tasks": ["mask"], "key": "..."}; every binary message is
one picture, and is answered by one JSON object before the next is read. So a client that waits for
its answer shows the newest frame, however slow the network is.
"""

import asyncio
import json
import time
from collections.abc import MutableMapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, ValidationError

from maskwise.config.base import wrong_values
from maskwise.errors import PhotoError
from maskwise.prediction.passes import Pass, Person, Watch
from maskwise.serving.access import allowed_tasks, check_key
from maskwise.serving.answering import Answerer
from maskwise.serving.keys import Keys
from maskwise.serving.metrics import Metrics
from maskwise.serving.problems import ProblemError, busy
from maskwise.serving.schemas import Task
from maskwise.serving.settings import ServeSettings

_QUIET = 60.0
"""Seconds without a frame after which a camera is let go."""


class _Wish(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tasks: list[Task] = ["mask"]
    key: str | None = None


def add_stream(app: FastAPI, settings: ServeSettings, metrics: Metrics, keys: Keys | None) -> None:
    """Add the route of cameras to an application."""
    watched = 0

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        nonlocal watched
        await socket.accept()
        if not _from_here(socket, settings):
            other = "pages of other sites may not watch; see --origins"
            await _refuse(socket, ProblemError(HTTPStatus.FORBIDDEN, other))
            return
        if watched >= settings.streams:
            await _refuse(socket, busy(1))
            return
        watched += 1
        metrics.stream(1)
        try:
            await _watch(socket, app.state.answerer, settings, keys)
        except ProblemError as problem:
            await _refuse(socket, problem)
        except (WebSocketDisconnect, RuntimeError):
            pass  # the camera has gone, at whatever moment
        finally:
            watched -= 1
            metrics.stream(-1)


def _from_here(socket: WebSocket, settings: ServeSettings) -> bool:
    """Return whether a socket is this service's page's, a named site's, or no browser's.

    Browsers let any page open one, and CORS does not stop them.
    """
    origin = socket.headers.get("origin")
    if origin is None or "*" in settings.origins or origin in settings.origins:
        return True
    return urlsplit(origin).netloc == socket.headers.get("host")


async def _watch(
    socket: WebSocket, answerer: Answerer, settings: ServeSettings, keys: Keys | None
) -> None:
    """Answer the frames of one camera until it goes.

    Raises:
        ProblemError: what it wishes makes no sense, its key is wrong, or no frame came for long.
        WebSocketDisconnect: it went.
    """
    watch, tasks, frame = Watch(), allowed_tasks(settings, ["mask"]), 0
    admitted = keys is None
    while True:
        message = await _message(socket)
        if message["type"] == "websocket.disconnect":
            return
        text, picture = message.get("text"), message.get("bytes")
        if text is not None:
            wish = _wish(text)
            check_key(keys, wish.key)
            admitted, tasks = True, allowed_tasks(settings, wish.tasks)
            continue
        if not admitted:
            check_key(keys, None)
        frame += 1
        started = time.perf_counter()
        answer = await _answer_frame(answerer, picture or b"", watch, tasks, settings.seconds)
        milliseconds = round(1000 * (time.perf_counter() - started), 1)
        await socket.send_text(json.dumps({"frame": frame, **answer, "milliseconds": milliseconds}))


async def _message(socket: WebSocket) -> MutableMapping[str, Any]:
    try:
        return await asyncio.wait_for(socket.receive(), _QUIET)
    except TimeoutError as error:
        detail = f"no frame came for {_QUIET:g} s"
        raise ProblemError(HTTPStatus.REQUEST_TIMEOUT, detail) from error


def _wish(text: str) -> _Wish:
    try:
        return _Wish.model_validate_json(text)
    except ValidationError as error:
        expected = 'expected a picture, or {"tasks": [...], "key": "..."}'
        raise ProblemError(HTTPStatus.BAD_REQUEST, expected, wrong_values(error)) from error


async def _answer_frame(
    answerer: Answerer, picture: bytes, watch: Watch, tasks: Sequence[str], seconds: float
) -> dict[str, Any]:
    """Return who is seen in a picture, or the problem with it; the camera may go on."""
    try:
        async with answerer.admitted(1), asyncio.timeout(seconds):
            answered = await answerer.answer(picture)
    except PhotoError as error:
        detail = str(error).removeprefix("the photo: ")
        problem = ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
        return {"problem": problem.document.model_dump()}
    except ProblemError as problem:
        return {"problem": problem.document.model_dump()}
    except TimeoutError:
        return {"problem": busy(seconds).document.model_dump()}
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
    try:
        await socket.send_text(json.dumps({"problem": problem.document.model_dump()}))
        await socket.close(1008, problem.document.title)
    except (WebSocketDisconnect, RuntimeError):
        pass
