"""The admin server on a thread of its own. Whatever goes wrong with it never keeps the application from running."""

from __future__ import annotations

import logging
import socket
import threading
from typing import TYPE_CHECKING

from dbos.admin.controls import Controls

if TYPE_CHECKING:
    import uvicorn

logger = logging.getLogger("dbos")

FAREWELL_SECONDS = 1  # for answers that are under way when it stops


class AdminServer:
    """Listens from `start` to `stop`.

    Args:
        controls: What it may ask of the application.
        host: The address to bind.
        port: The port, or 0 for any free one.
        token: What requests must bring along; None on loopback: nothing.
    """

    def __init__(self, controls: Controls, host: str, port: int, token: str | None) -> None:
        self._controls = controls
        self._host = host
        self._port = port
        self._token = token
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> tuple[str, int] | None:
        """Where it listens, or None if it does not."""
        return None if self._thread is None else (self._host, self._port)

    def start(self) -> None:
        """Listen. If that cannot be, the log says why, and nothing else happens."""
        try:
            import uvicorn

            from dbos.admin.routes import application
        except ModuleNotFoundError as missing:
            logger.warning("The admin server is off: it needs %s: pip install 'dbos[admin]'", missing.name)
            return
        try:
            listener = socket.create_server((self._host, self._port), family=self._family(), backlog=128)
        except OSError as error:
            logger.warning("The admin server is off: it cannot bind %s port %s: %s", self._host, self._port, error)
            return
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            application(self._controls, self._token),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=FAREWELL_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._run, args=(self._server, listener), name="dbos-admin-server", daemon=True
        )
        self._thread.start()
        logger.info("The admin server listens on %s port %s", self._host, self._port)

    def stop(self) -> None:
        """Stop listening; answers that are under way get a moment."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(2 * FAREWELL_SECONDS + 1)
        self._server = self._thread = None

    def _family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self._host else socket.AF_INET

    @staticmethod
    def _run(server: uvicorn.Server, listener: socket.socket) -> None:
        with listener:
            try:
                server.run(sockets=[listener])
            except Exception:
                logger.exception("The admin server failed; the application goes on without it")
