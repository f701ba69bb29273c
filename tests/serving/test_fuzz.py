"""Requests that nobody in his right mind would send: never an error of the service, and no leak."""

import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

from people import person
from service import Service, jpeg, service

TYPE = {"content-type": "image/jpeg"}
ROUTES = ["/v1/predict", "/v1/classify", "/health/live", "/health/ready", "/metrics"]
QUIET = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with service() as running:
        yield running
        assert "unforeseen" not in running.stopped()


@pytest.mark.parametrize("path", ROUTES)
def test_requests_made_from_the_document(path: str, running: Service) -> None:
    schema = schemathesis.openapi.from_url(f"{running.address}/openapi.json")
    operation = schema[path]["POST" if path.startswith("/v1") else "GET"]
    seen = set()

    @QUIET
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        answer = case.call()
        seen.add(answer.status_code)
        # a picture of one pixel is refused, though the document cannot say so
        case.validate_response(answer, excluded_checks=[positive_data_acceptance])

    ask()
    assert seen <= {200, 400, 415, 422}


@pytest.mark.parametrize("path", ROUTES[:2])
def test_wrong_requests_made_from_the_document(path: str, running: Service) -> None:
    schema = schemathesis.openapi.from_url(f"{running.address}/openapi.json")
    negative = schemathesis.GenerationMode.NEGATIVE

    @QUIET
    @given(case=schema[path]["POST"].as_strategy(generation_mode=negative))
    def ask(case: Any) -> None:
        case.validate_response(case.call(), checks=[not_a_server_error])

    ask()


def test_broken_photos(running: Service, face: bytes) -> None:
    random = np.random.default_rng(0)
    kinds = [face]
    for kind in ("PNG", "GIF", "WEBP", "BMP", "TIFF"):
        file = io.BytesIO()
        person(1).save(file, kind)
        kinds.append(file.getvalue())
    seen = set()
    for number in range(240):
        photo = bytearray(kinds[number % len(kinds)])
        for _ in range(random.integers(1, 40)):
            photo[random.integers(len(photo))] = random.integers(256)
        cut = random.integers(len(photo)) if number % 4 == 0 else len(photo)
        answer = httpx.post(
            f"{running.address}/v1/predict", content=bytes(photo[:cut]), headers=TYPE
        )
        seen.add(answer.status_code)
    assert seen <= {200, 400, 422}
    assert {200, 422} <= seen


def test_memory_does_not_grow(running: Service) -> None:
    photos = [jpeg(person(number).resize((240, 320))) for number in range(4)] + [b"nonsense"]
    process = psutil.Process(running.process.pid)

    def ask(times: int) -> float:
        with httpx.Client(base_url=running.address, headers=TYPE) as client:
            for number in range(times):
                client.post("/v1/predict", content=photos[number % 5])
        return float(process.memory_info().rss) / 1e6

    before = ask(200)
    assert ask(600) - before < 25  # a photo kept of each would be 138 MB
