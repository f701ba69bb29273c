"""Chromium for the tests of pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

expect.set_options(timeout=15_000)  # milliseconds, for slow machines


@contextmanager
def chromium(*options: str) -> Iterator[Browser]:
    """Start a browser without a window."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("there is no Chromium to test the page with: make browser installs it")
    more = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=[*options, *more])
        yield browser
        browser.close()


@contextmanager
def opened_page(browser: Browser, address: str) -> Iterator[Page]:
    """Open a page, from which nothing goes elsewhere and in which nothing fails."""
    with browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        errors: list[str] = []
        asked: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        yield page
        assert errors == []
        assert [url for url in asked if not url.startswith((address, "blob:"))] == []
