"""The pages below the path of a proxy."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

import maskwise
from browsing import chromium, opened_page
from people import person, saved
from service import service


@pytest.mark.parametrize("package", ["serving", "labeling"])
def test_pages_name_no_address_from_the_root(package: str) -> None:
    """Or they would not work below a proxy's path."""
    folder = Path(maskwise.__file__).parent / package / "static"
    for file in folder.iterdir():
        found = re.findall(r"""["'`(]/(?:static|shared|api|v1|health)\b.*""", file.read_text())
        assert not found, file


@contextmanager
def proxied(port: int, path: str) -> Iterator[str]:
    """Give the address of a proxy that hands on what is below a path, as nginx does."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path.startswith(path), self.path
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name: value for name, value in self.headers.items() if name != "Host"}
            address = f"http://127.0.0.1:{port}/" + self.path.removeprefix(path)
            answer = httpx.request(self.command, address, content=content, headers=headers)
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

        do_POST = do_GET  # noqa: N815 # that is what it has to be called

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}{path}"
        server.shutdown()
        thread.join()


def test_the_page_works_below_the_path_of_a_proxy(tmp_path: Path) -> None:
    with (
        service() as running,
        chromium() as browser,
        proxied(running.port, "/door/") as address,
        opened_page(browser, address) as page,
    ):
        page.set_input_files("#files", [saved(person(1), tmp_path / "door.png")])
        expect(page.locator("#results > li .chip")).to_have_count(1)
