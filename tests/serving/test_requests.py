"""Names that the service answers to, HEAD, and bodies that are encoded."""

import gzip
import inspect

import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from maskwise.cli.serve import serve
from maskwise.serving.requests import host_name, known_hosts
from maskwise.serving.settings import ServeSettings
from service import JPEG, Serving, problem


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:80", "[::1]:8000"])
def test_a_local_service_answers_to_local_names(serving: Serving, host: str) -> None:
    client = serving(hosts=())
    assert client.get("/health/live", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "127.0.0.1.nip.io"])
def test_other_names_are_refused(serving: Serving, face: bytes, host: str) -> None:
    client = serving(hosts=())
    for path in ("/", "/health/live", "/v1/info", "/metrics"):
        problem(client.get(path, headers={"host": host}), 421)
    told = problem(client.post("/v1/predict", content=face, headers={**JPEG, "host": host}), 421)
    assert "--hosts" in told["detail"]
    with pytest.raises(WebSocketDenialResponse) as refused:
        client.websocket_connect("/v1/stream", headers={"host": host}).__enter__()
    assert refused.value.status_code == 421


def test_names_are_those_that_are_set(serving: Serving) -> None:
    client = serving(hosts=("door.example",), host="0.0.0.0")
    for host, status in (("door.example", 200), ("localhost", 200), ("other.example", 421)):
        assert client.get("/health/live", headers={"host": host}).status_code == status
    everywhere = serving(host="0.0.0.0", hosts=())
    assert everywhere.get("/health/live", headers={"host": "any.example"}).status_code == 200
    assert known_hosts("0.0.0.0", ()) == ()
    assert host_name("[::1]") == "::1"


@pytest.mark.parametrize(
    "path", ["/", "/health/live", "/health/ready", "/v1/info", "/static/main.js"]
)
def test_head_is_answered_as_get(client: TestClient, path: str) -> None:
    expected = client.get(path)
    found = client.head(path)
    assert found.status_code == expected.status_code
    assert found.headers["content-type"] == expected.headers["content-type"]
    assert client.head("/v1/predict").status_code == 405


def test_encoded_bodies_are_named(client: TestClient, face: bytes) -> None:
    headers = {**JPEG, "content-encoding": "gzip"}
    told = problem(client.post("/v1/predict", content=gzip.compress(face), headers=headers), 415)
    assert "gzip" in told["detail"]
    plain = {**JPEG, "content-encoding": "identity"}
    assert client.post("/v1/predict", content=face, headers=plain).status_code == 200


@pytest.mark.parametrize("host", ["door.example:8000", "https://door.example"])
def test_names_with_more_than_a_name_are_refused(host: str) -> None:
    with pytest.raises(ValueError, match="give the name alone"):
        ServeSettings(hosts=(host,))
    assert "127.0.0.2" in known_hosts("127.0.0.2", ())


def test_options_have_the_defaults_of_the_settings() -> None:
    options = inspect.signature(serve).parameters
    fields = ServeSettings.model_fields
    assert set(options) == set(fields)
    for name, field in fields.items():
        assert (options[name].default or None) == (field.default or None), name
