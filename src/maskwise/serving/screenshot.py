"""A picture of the page, taken in Chromium where there is one, for reports and documents."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

_BROWSERS: Final = ("chromium", "google-chrome", "chromium-browser")
_WIDTH, _HEIGHT = 1280, 800
_ANSWER: Final = 30_000
"""Milliseconds that the page may take to show an answer."""


def browser_program() -> str | None:
    """Return the browser that pictures can be taken with, if there is all that it needs."""
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    return found if importlib.util.find_spec("playwright") else None


@contextmanager
def served(model: Path | None) -> Iterator[str]:
    """Serve a model in a process of its own; yield the address.

    Raises:
        RuntimeError: the service did not start.
    """
    command = [sys.executable, "-u", "-m", "maskwise", "serve", "--port", "0"]
    command += [str(model)] if model else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 # ours
        try:
            said = process.stdout.readline() if process.stdout else ""
            found = re.search(r"http://\S+", said)
            if found is None:
                raise RuntimeError("the service did not start")
            yield found[0]
        finally:
            process.terminate()


@contextmanager
def opened(program: str, address: str, film: Path | None = None) -> Iterator[Any]:
    """Open the page in a browser, whose camera shows a film where one is given; yield it."""
    from playwright.sync_api import sync_playwright

    options = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    if film:
        options += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        options += [f"--use-file-for-fake-video-capture={film}"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=options)
        try:
            page = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT}, locale="en-GB")
            page.goto(address)
            yield page
        finally:
            browser.close()


def photos_picture(page: Any, photos: Sequence[Path], out: Path) -> None:
    """Let the page answer some photos, with gender and age group, and take its picture."""
    page.locator("#photos .people").check()
    page.set_input_files("#files", [str(photo) for photo in reversed(photos)])
    page.locator("#results > li").nth(len(photos) - 1).wait_for(timeout=_ANSWER)
    page.screenshot(path=out, full_page=True)


def checkpoint_picture(page: Any, people: int, out: Path) -> None:
    """Let the page watch its camera until so many people are told of, and take its picture."""
    page.locator("#tab-checkpoint").click()
    page.locator("#check-start").click()
    settled = page.locator(".verdict:not(.checking)")
    settled.nth(people - 1).wait_for(timeout=_ANSWER)
    page.screenshot(path=out)
