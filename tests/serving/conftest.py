"""The service with the model that comes along, and photos of drawn people."""

import io
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from maskwise.serving.api import create_app
from maskwise.serving.settings import ServeSettings
from people import person


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.fixture(scope="session")
def face() -> bytes:
    """A photo of one person."""
    return jpeg(person(1))


@pytest.fixture(scope="session")
def wall() -> bytes:
    """A photo without a face."""
    noise = np.random.default_rng(0).integers(90, 110, (240, 320, 3), np.uint8)
    return jpeg(Image.fromarray(noise))


def crowd(people: int) -> bytes:
    """Return a photo of many small people."""
    across = 10
    side = 64
    photo = Image.new("RGB", (across * side, -(-people // across) * side), "gray")
    small = person(2).resize((48, 64))
    for number in range(people):
        photo.paste(small, (number % across * side, number // across * side))
    return jpeg(photo)


Serving = Callable[..., TestClient]


@pytest.fixture
def serving() -> Iterator[Serving]:
    """Starts a service with settings; it ends with the test."""
    clients = []

    def start(**settings: object) -> TestClient:
        client = TestClient(create_app(ServeSettings(**settings)))
        clients.append(client)
        return client.__enter__()

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """The service as it is started by default."""
    with TestClient(create_app(ServeSettings())) as client:
        yield client
