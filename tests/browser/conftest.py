"""A headless Chromium that has no network."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tests.debian import Missing, install

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PACKAGE = {NAMES[0]: NAMES[0]}
SETTLED = 300  # milliseconds in which a page could still say something


@dataclass
class Opened:
    """A page, what it said, and what it asked for besides its own file."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@dataclass
class Chromium:
    """A running browser."""

    browser: Browser

    def open(
        self, path: Path, scheme: Literal["light", "dark"] = "light", width: int = 1280
    ) -> Opened:
        """Open a file of the disk, with the network blocked."""
        size = {"width": width, "height": 900}
        context = self.browser.new_context(color_scheme=scheme, viewport=size, offline=True)  # type: ignore[arg-type]
        opened = Opened(context.new_page())
        page = opened.page
        page.on("console", lambda message: opened.said.append(message.text))
        page.on("pageerror", lambda error: opened.said.append(str(error)))
        page.on("request", lambda request: opened.asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_timeout(SETTLED)
        own = (path.as_uri(), "data:", "blob:")
        opened.asked[:] = [url for url in opened.asked if not url.startswith(own)]
        return opened


def program() -> str:
    """Return the path of Chromium, which is installed where it can be. Raises Missing."""
    if not importlib.util.find_spec("playwright"):
        raise Missing("no playwright here: install the extra `browser`")
    if not any(map(shutil.which, NAMES)):
        install("Chromium", PACKAGE)
    return next(found for found in map(shutil.which, NAMES) if found)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """A browser; where there can be none a test is skipped, but fails under CI=true."""
    try:
        path = program()
    except Missing as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium's own sandbox does not start as root.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield Chromium(browser)
        browser.close()
