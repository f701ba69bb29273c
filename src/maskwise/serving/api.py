"""The application: routes, who may call them, and what is measured."""

import time
from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import PlainTextResponse
from starlette.datastructures import Headers, State
from starlette.types import ASGIApp, Receive, Scope, Send

from maskwise.errors import PhotoError
from maskwise.serving.access import KEY_HEADER, allowed_tasks, key_check
from maskwise.serving.answering import Answerer, check_finds_faces
from maskwise.serving.held import HELD, Held
from maskwise.serving.keys import Keys
from maskwise.serving.metrics import Metrics
from maskwise.serving.page import add_page
from maskwise.serving.photos import FORM, SentPhoto, sent_photos
from maskwise.serving.problems import ProblemError, Unforeseen, tell_problems, told, unnamed
from maskwise.serving.requests import HeadAsGet, KnownHosts, known_hosts
from maskwise.serving.schemas import Answers, Info, PhotoAnswer, Task
from maskwise.serving.settings import ServeSettings
from maskwise.serving.stream import add_stream
from maskwise.version import __version__

_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["photos"],
                    "properties": {
                        "photos": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            },
        },
    }
}
_PROBLEMS: Final = told(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_PHOTOS: Final = ("/v1/predict", "/v1/classify")
_REFUSED: Final = "maskwise.refused"
"""Where a scope names the route of a request that was refused before it."""
Tasks = Annotated[list[Task], Query(description="What to answer; all where none is named.")]


def create_app(settings: ServeSettings) -> FastAPI:
    """Return the application; it loads its model when it starts.

    Raises:
        SettingsError: the file of keys cannot be used.
    """
    keys = Keys.read(settings.keys) if settings.keys else None
    metrics = Metrics()
    held = Held(int(settings.held_megabytes * 1e6), metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        with Answerer(settings, metrics) as app.state.answerer:
            yield {HELD: held}

    app = FastAPI(
        title="Maskwise",
        version=__version__,
        summary="Mask wear, gender and age group from photos of faces. Nothing is stored.",
        lifespan=lifespan,
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
    )
    app.add_middleware(_Admission, state=app.state, held=held)
    app.add_middleware(Unforeseen)
    app.add_middleware(_Measured, metrics=metrics)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Content-Type", "Authorization", KEY_HEADER],
            expose_headers=["Retry-After"],
        )
    hosts = known_hosts(settings.host, settings.hosts)
    if hosts:
        app.add_middleware(KnownHosts, hosts=hosts)
    app.add_middleware(HeadAsGet)
    tell_problems(app)
    _add_state(app, settings, metrics, keys)
    _add_answers(app, settings, held, keys)
    add_stream(app, settings, metrics, keys)
    if settings.page:
        add_page(app)
    return app


def _add_state(app: FastAPI, settings: ServeSettings, metrics: Metrics, keys: Keys | None) -> None:
    @app.get("/health/live", summary="Whether the process runs.")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get(
        "/health/ready",
        summary="Whether photos are taken: 503 while the queue is full.",
        responses=told(HTTPStatus.SERVICE_UNAVAILABLE),
    )
    async def ready() -> dict[str, str]:
        app.state.answerer.check_room()
        return {"status": "ready"}

    @app.get("/v1/info", summary="What answers here, and how much it takes.")
    async def info() -> Info:
        classifier = app.state.answerer.predictor.classifier
        return Info(
            version=__version__,
            model=classifier.about["model"],
            boundaries=classifier.boundaries,
            people=settings.people,
            keys=keys is not None,
            photos=settings.photos,
            faces=settings.faces,
            megabytes=settings.megabytes,
            megapixels=settings.megapixels,
        )

    @app.get(
        "/metrics",
        summary="Figures for Prometheus.",
        dependencies=[key_check(keys)],
        response_class=PlainTextResponse,
        responses=told(HTTPStatus.UNAUTHORIZED),
    )
    async def figures() -> Response:
        return PlainTextResponse(metrics.text(), media_type="text/plain; version=0.0.4")


def _add_answers(app: FastAPI, settings: ServeSettings, held: Held, keys: Keys | None) -> None:
    async def answers(request: Request, tasks: Sequence[str], whole: bool) -> Response:
        wanted = allowed_tasks(settings, tasks)
        answerer: Answerer = app.state.answerer
        if not whole:
            check_finds_faces(answerer)
        with held.request() as share:
            photos = await sent_photos(request, settings, share)
            answered = await _answered(answerer, photos, wanted, whole)
        content = answered.model_dump_json(exclude_none=True)
        return Response(content, media_type="application/json")

    shared: dict[str, Any] = {
        "response_model": Answers,
        "responses": _PROBLEMS,
        "openapi_extra": _BODY,
        "dependencies": [key_check(keys)],
    }

    @app.post(_PHOTOS[0], summary="Find the faces in photos and answer each.", **shared)
    async def predict(request: Request, tasks: Tasks = []) -> Response:  # noqa: B006
        return await answers(request, tasks, whole=False)

    @app.post(_PHOTOS[1], summary="Answer photos that are cut out faces.", **shared)
    async def classify(request: Request, tasks: Tasks = []) -> Response:  # noqa: B006
        return await answers(request, tasks, whole=True)


async def _answered(
    answerer: Answerer, photos: Sequence[SentPhoto], tasks: Sequence[str], whole: bool
) -> Answers:
    """Return the answers for the photos of a request.

    Raises:
        ProblemError: there is no room for them, they took too long, or none could be read.
    """
    found = await answerer.answer([photo.content for photo in photos], whole)
    answers = [
        PhotoAnswer(name=photo.name, error=unnamed(one))
        if isinstance(one, PhotoError)
        else PhotoAnswer.of(photo.name, one, tasks)
        for photo, one in zip(photos, found, strict=True)
    ]
    errors = [f"{answer.name}: {answer.error}" for answer in answers if answer.error]
    if len(errors) == len(answers):
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "no photo could be read", errors)
    return Answers(photos=answers)


class _Admission:
    """Refuses photos for which there is no room: before their route, which costs more than that."""

    def __init__(self, app: ASGIApp, state: State, held: Held) -> None:
        self._app = app
        self._state = state
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in _PHOTOS or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            self._state.answerer.admit()
        except ProblemError as problem:
            scope[_REFUSED] = scope["path"]
            await self._held.refuse_slowly(Headers(scope=scope).get("content-length"))
            await problem.response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class _Measured:
    """Notes how long each request took; a path that is no route has the name of none."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)

        async def noting(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", scope.get(_REFUSED, "none"))
            self._metrics.answered(str(route), status, time.perf_counter() - started)
