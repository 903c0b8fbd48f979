"""A real browser without a window: Chromium, driven through the protocol that its driver speaks.

The two programs are looked for, never installed: the Debian packages `chromium` and `chromium-driver` bring them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRIVER = "chromedriver"
REPLY_SECONDS = 30.0  # for a browser to start on a busy machine

ARGUMENTS = [
    "--headless",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
]


def missing() -> list[str]:
    """What of a browser and its driver is not installed here."""
    browser = [] if _browser() is not None else ["chromium"]
    return browser if shutil.which(DRIVER) else [*browser, "chromium-driver"]


def require_browser() -> None:
    """Skip the test where there is no browser; in continuous integration, fail it."""
    if missing():
        reason = f"no browser: install the Debian packages {' '.join(missing())}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def _browser() -> str | None:
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Browser:
    """One window."""

    def __init__(self, session_url: str) -> None:
        self._session_url = session_url

    def open(self, url: str) -> None:
        """Load a page."""
        _ask(f"{self._session_url}/url", {"url": url})

    def run(self, script: str) -> Any:
        """What a script returns in the page."""
        return _ask(f"{self._session_url}/execute/sync", {"script": script, "args": []})

    def texts(self, selector: str) -> list[str]:
        """The texts of the elements that fit, in order."""
        found = f"Array.from(document.querySelectorAll({json.dumps(selector)}), each => each.textContent)"
        texts: list[str] = self.run(f"return {found}")
        return texts


@contextmanager
def browser(profile: Path) -> Generator[Browser]:
    """A fresh browser with an empty profile; it is gone when the block ends."""
    driver = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert driver.stdout is not None
        lines = iter(driver.stdout.readline, "")
        port = next(match[1] for line in lines if (match := re.search(r"started successfully on port (\d+)", line)))
        options = {"binary": _browser(), "args": [*ARGUMENTS, f"--user-data-dir={profile}"]}
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        session = _ask(f"http://127.0.0.1:{port}/session", wanted)
        session_url = f"http://127.0.0.1:{port}/session/{session['sessionId']}"
        try:
            yield Browser(session_url)
        finally:
            _ask(session_url, None, "DELETE")
    finally:
        driver.terminate()
        driver.communicate(timeout=REPLY_SECONDS)


def _ask(url: str, body: dict[str, Any] | None, method: str = "POST") -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=REPLY_SECONDS) as reply:
        return json.load(reply)["value"]
