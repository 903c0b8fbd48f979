"""An example that serves HTTP, as a process that a test kills and starts again on the same port and database."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
STARTING_SECONDS = 40.0  # on a busy machine


class ExampleServer:
    """The program `examples/PATH PORT`, run in a directory. Leaving the `with` block kills it."""

    def __init__(self, path: str, directory: Path, database_url: str, **variables: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DBOS_")}
        self._environment = {
            **inherited,
            "PYTHONWARNINGS": "error",
            "DBOS_SYSTEM_DATABASE_URL": database_url,
            **variables,
        }
        self._command = [sys.executable, str(ROOT / "examples" / path), str(self.port)]
        self._directory = directory
        self._client = httpx.Client(
            timeout=30, trust_env=False, verify=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """It answers once this returns."""
        process = self._process = subprocess.Popen(self._command, cwd=self._directory, env=self._environment)
        eventually(lambda: process.poll() is not None or self._answers(), STARTING_SECONDS)
        assert process.poll() is None, "the example ended at once"

    def kill(self) -> None:
        """By SIGKILL: it has no chance to do anything about it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def wait_until_dead(self) -> None:
        """Until it has ended by itself."""
        assert self._process is not None
        self._process.wait(STARTING_SECONDS)

    def ask(self, method: str, path: str, **options: str) -> httpx.Response:
        """Its answer; `key` is sent as the idempotency key."""
        headers = {"dbos-idempotency-key": options["key"]} if "key" in options else {}
        return self._client.request(method, self.url + path, headers=headers)

    def _answers(self) -> bool:
        try:
            return self.ask("GET", "").status_code in (200, 404)  # not all of them have a first page
        except httpx.TransportError:
            return False

    def __enter__(self) -> ExampleServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._client.close()
