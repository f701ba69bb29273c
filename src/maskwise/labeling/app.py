"""The labelling page's application: what it answers."""

from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, FastAPI, Request
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from maskwise.errors import PhotoError, StorageError
from maskwise.labeling.decisions import decide, undo
from maskwise.labeling.pictures import picture
from maskwise.labeling.progress import agreement, progress
from maskwise.labeling.queue import count_photos, next_photos, photo_detail, photo_place
from maskwise.labeling.records import (
    Action,
    Decision,
    Filters,
    Labels,
    StaleError,
    WrongDecisionError,
)
from maskwise.labeling.schema import STATES
from maskwise.labeling.store import Store
from maskwise.labeling.watched import WatchedManifest
from maskwise.labels import TASK_BOUNDARIES, TASKS
from maskwise.serving.page import add_page
from maskwise.serving.problems import ProblemError, Unforeseen, tell_problems
from maskwise.serving.requests import BodyLimit, OwnPages
from maskwise.version import __version__

_FOLDER: Final = Path(__file__).parent / "static"
_MOST: Final = 50
"""Photos that are given at once."""
_BODY: Final = 1_000_000
"""Bytes of a request: a thousand decisions are a fifth of that."""
Name = Annotated[str, Field(min_length=1, max_length=60)]
Number = Annotated[int, Field(ge=0, lt=2**63)]
"""What the database can count to."""


class Decided(BaseModel):
    """A decision, as the page sends it."""

    photo: Number
    version: Number
    action: Action
    labels: Labels = {}


class Decisions(BaseModel):
    """Decisions that are recorded together, or not at all."""

    who: Name
    decisions: Annotated[list[Decided], Field(min_length=1, max_length=1000)]


class Undo(BaseModel):
    """Whose last decision is taken back."""

    who: Name


def create_app(
    store: Store, manifest: WatchedManifest, twice: bool = False, hosts: Sequence[str] = ("*",)
) -> FastAPI:
    """Return the application for the open store of a manifest.

    With `twice` each photo is asked of two people. `hosts` are the names it may be called by: with
    other names another site's page could reach what listens on this machine.
    """
    app = FastAPI(title="Maskwise labels", version=__version__, docs_url=None, redoc_url=None)
    app.add_middleware(Unforeseen)
    app.add_middleware(BodyLimit, most=_BODY)
    app.add_middleware(OwnPages)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    tell_problems(app)
    _tell_more(app)
    _add_reading(app, store, manifest, twice)
    _add_deciding(app, store, twice)
    add_page(app, _FOLDER)
    return app


def _add_reading(app: FastAPI, store: Store, manifest: WatchedManifest, twice: bool) -> None:
    wanted = Annotated[Filters, Depends(Filters)]

    @app.get("/api/about")
    def about() -> dict[str, Any]:
        return {
            "title": manifest.path.stem,
            "twice": twice,
            "tasks": TASKS,
            "boundaries": TASK_BOUNDARIES,
            "states": STATES,
            "kinds": _kinds(store),
        }

    @app.post("/api/next")  # it reserves the photos, so it is not a GET
    def following(
        filters: wanted,
        who: Name,
        after_score: float | None = None,
        after_id: Number | None = None,
        count: Annotated[int, Field(ge=1, le=_MOST)] = 1,
    ) -> list[dict[str, Any]]:
        known = after_score is not None and after_id is not None
        after = (float(after_score or 0), int(after_id or 0)) if known else None
        return next_photos(store, who, filters, after, count, twice)

    @app.get("/api/count")
    def count(filters: wanted, who: Name) -> int:
        return count_photos(store, who, filters, twice)

    @app.get("/api/progress")
    def state() -> dict[str, Any]:
        found = progress(store) | {"agreement": agreement(store)}
        return found | {"notice": manifest.notice()}

    @app.get("/api/photos/{number}")
    def photo(number: Number, who: Name) -> dict[str, Any]:
        return photo_detail(store, number, who, twice)

    @app.get("/api/photos/{number}/{size}.jpg")
    def jpeg(number: Number, size: Literal["small", "large"]) -> Response:
        content = picture(*photo_place(store, number), size)
        # a photo may change or vanish while people look at others
        kept = {"Cache-Control": "private, max-age=60"}
        return Response(content, media_type="image/jpeg", headers=kept)


def _add_deciding(app: FastAPI, store: Store, twice: bool) -> None:
    @app.post("/api/decisions")
    def decided(sent: Decisions) -> list[dict[str, Any]]:
        made = [Decision(one.photo, one.version, one.action, one.labels) for one in sent.decisions]
        return _details(store, sent.who, decide(store, sent.who, made, twice), twice)

    @app.post("/api/undo")
    def taken_back(sent: Undo) -> list[dict[str, Any]]:
        return _details(store, sent.who, undo(store, sent.who), twice)


def _details(
    store: Store, who: str, photos: Sequence[dict[str, Any]], twice: bool
) -> list[dict[str, Any]]:
    return [photo_detail(store, photo["id"], who, twice) for photo in photos]


def _kinds(store: Store) -> dict[str, int]:
    """Return the kinds of findings there are, and how many photos have one."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT kind, COUNT(DISTINCT photo) FROM finding_photos JOIN findings "
            "ON finding = findings.id GROUP BY kind ORDER BY 2 DESC, 1"
        ).fetchall()
    return {row[0]: row[1] for row in rows}


def _tell_more(app: FastAPI) -> None:
    """Let errors of the store and of photos become problem documents."""

    @app.exception_handler(StaleError)
    async def _stale(_: Request, error: StaleError) -> JSONResponse:
        detail = f"{error}: look at it again; nothing was saved"
        return ProblemError(HTTPStatus.CONFLICT, detail).response()

    @app.exception_handler(WrongDecisionError)
    async def _wrong(_: Request, error: WrongDecisionError) -> JSONResponse:
        return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)).response()

    @app.exception_handler(PhotoError)
    async def _photo(_: Request, error: PhotoError) -> JSONResponse:
        return ProblemError(HTTPStatus.NOT_FOUND, str(error)).response()

    @app.exception_handler(StorageError)
    async def _storage(_: Request, error: StorageError) -> JSONResponse:
        return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)).response()
