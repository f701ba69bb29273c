"""The service with the model that comes along, in this process or its own; photos to send."""

import io
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from starlette.testclient import WebSocketDenialResponse

from commands import wait_for
from maskwise.serving.api import create_app
from maskwise.serving.settings import ServeSettings
from people import person

NO_TORCH = (
    "import sys\n"
    "for name in ('torch', 'timm', 'kornia', 'accelerate', 'safetensors', 'onnx', 'sklearn'):\n"
    "    sys.modules[name] = None\n"
    "sys.argv = ['maskwise', *sys.argv[1:]]\n"
    "from maskwise.cli import main\n"
    "main()\n"
)


NAMED: dict[str, Any] = {"hosts": ("testserver",)}
"""What the client for tests calls the service."""
JPEG = {"content-type": "image/jpeg"}


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """Check that an answer is a problem document; return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    return found


def denied(
    client: TestClient, status: int, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """Check that a camera is refused before its socket opens, and is told why; return that."""
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect("/v1/stream", headers=dict(headers or {})),
    ):
        pass
    found = problem(refused.value, status)
    asked = client.get("/v1/stream", headers=headers)
    assert status == 401 or asked.json()["detail"] == found["detail"]
    return found


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
        client = TestClient(create_app(ServeSettings(**NAMED | settings)))
        clients.append(client)
        return client.__enter__()

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """The service as it is started by default."""
    with TestClient(create_app(ServeSettings(**NAMED))) as client:
        yield client


class Service:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://[\d.]+:(\d+)", said)
        assert found, said
        self.port = int(found[1])
        self.address = f"http://127.0.0.1:{self.port}"
        wait_for(lambda: self.get("/health/ready"))

    def get(self, path: str) -> str:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def predict(self, photo: bytes) -> dict[str, object]:
        request = Request(f"http://127.0.0.1:{self.port}/v1/predict", photo,
                          {"Content-Type": "image/jpeg"})  # fmt: skip
        with urlopen(request) as answer:
            found: dict[str, object] = json.load(answer)["photos"][0]
        return found

    def connection(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def stopped(self) -> str:
        """Stop it; return what it printed."""
        self.process.terminate()
        return self.ended()

    def ended(self) -> str:
        """Return what was printed to the end."""
        out, err = self.process.communicate(timeout=30)
        return out + err


@contextmanager
def service(
    *words: object, script: str = NO_TORCH, environment: dict[str, str] | None = None
) -> Iterator[Service]:
    command = [sys.executable, "-u", "-c", script, "serve", "--port", "0", *map(str, words)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    with process:
        try:
            yield Service(process)
        finally:
            process.kill()
