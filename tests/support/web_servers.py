"""Real web servers on threads of the test: uvicorn for ASGI, werkzeug for WSGI, each on a free port of this machine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import uvicorn
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support.waiting import eventually

Ask = Callable[..., httpx.Response]


@contextmanager
def served_by_uvicorn(app: Any) -> Generator[Ask]:
    """Serve an ASGI application; its lifespan is over when the block is."""
    config = uvicorn.Config(app, port=0, lifespan="on", log_level="critical", ws="none")
    server = uvicorn.Server(config)

    def run() -> None:
        with suppress(SystemExit):  # its way to say that the application did not start
            server.run()

    thread = threading.Thread(target=run, name="uvicorn")
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive())
        assert server.started, "the application did not start"
        with _asking(server.servers[0].sockets[0].getsockname()[1]) as ask:
            yield ask
    finally:
        server.should_exit = True
        thread.join()


class _Handler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def served_by_werkzeug(app: Any) -> Generator[Ask]:
    """Serve a WSGI application: all requests on one thread, as it happens where threads are pooled."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = make_server("127.0.0.1", 0, app, request_handler=_Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="werkzeug")
    thread.start()
    try:
        with _asking(server.port) as ask:
            yield ask
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _asking(port: int) -> Generator[Ask]:
    anew = httpx.Limits(
        max_keepalive_connections=0
    )  # uvicorn hangs up after the answer to an error that is not handled
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20, limits=anew) as client:
        yield client.request
