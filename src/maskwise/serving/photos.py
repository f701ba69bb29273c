"""The photos of a request: its body, or the files of a form, in memory only."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from maskwise.serving.held import Share
from maskwise.serving.problems import ProblemError
from maskwise.serving.settings import ServeSettings

FORM: Final = "multipart/form-data"
_RAW: Final = "application/octet-stream"
_FIELD: Final = 4096
"""Bytes of a field of a form that is no file; none is read."""


@dataclass(frozen=True)
class SentPhoto:
    """A photo as it was sent."""

    name: str
    """As the client calls it."""
    content: bytes


async def sent_photos(request: Request, settings: ServeSettings, share: Share) -> list[SentPhoto]:
    """Return the photos of a request; its bytes are counted in `share` as they come.

    Raises:
        ProblemError: the body is too large, too slow, cut off or of another type, holds no photo or
            too many, or there is no room for it.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (FORM, _RAW) and not kind.startswith("image/"):
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"expected a photo (image/jpeg, image/png, ...) or a form with files ({FORM}), "
            f"got {kind or 'no content type'}",
        )
    coding = request.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body is encoded as {coding[:20]}; send photos as they are",
        )
    body = await _body(request, settings, share)
    if not body:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "the body is empty: send a photo")
    photos = await _files(request, body, settings) if kind == FORM else [SentPhoto("photo", body)]
    if not photos:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "the form has no file: send each photo as one")
    return photos


async def _body(request: Request, settings: ServeSettings, share: Share) -> bytes:
    limit = int(settings.megabytes * 1e6)
    too_large = ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the request is larger than {settings.megabytes:g} MB; send fewer or smaller photos",
        headers={"Connection": "close"},  # what still comes is not read
    )
    stated = request.headers.get("content-length", "0")
    if not stated.isdigit() or int(stated) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(settings.seconds):
            async for chunk in request.stream():
                share.add(len(chunk))
                body += chunk
                if len(body) > limit:
                    raise too_large
    except TimeoutError as error:
        raise ProblemError(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the request did not come in within {settings.seconds:g} s",
            headers={"Connection": "close"},
        ) from error
    except ClientDisconnect as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "the body was cut off") from error
    return bytes(body)


class _InMemory(MultiPartParser):
    """A parser of forms that writes nothing to a disk; the body was limited before."""

    spool_max_size = 2**62


async def _files(request: Request, body: bytes, settings: ServeSettings) -> list[SentPhoto]:
    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    # only the boundary is taken from the client: it may name a charset that takes minutes to decode
    _, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary", b"").decode("latin-1")
    headers = Headers({"content-type": f'{FORM}; boundary="{boundary}"'})
    parser = _InMemory(
        headers, whole(), max_files=settings.photos, max_fields=100, max_part_size=_FIELD
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST,
            f"the form cannot be read, or holds more than {settings.photos} photos: "
            f"{error.message}",
        ) from error
    except (KeyError, UnicodeDecodeError, ValueError) as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "the form cannot be read") from error
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    try:
        return [
            SentPhoto(_text(file.filename) or f"photo {number}", await file.read())
            for number, file in enumerate(files, start=1)
        ]
    finally:
        await form.close()


def _text(name: str | None) -> str:
    """Return a name without what UTF-8 cannot say."""
    return (name or "").encode("utf-8", "replace").decode()
