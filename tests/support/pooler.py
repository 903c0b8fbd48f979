"""A throwaway pgbouncer in front of a throwaway Postgres server: every transaction gets another session of the server.

It runs as the account that runs the server, on a loopback port it finds itself. A small shell process ends it when this
process is gone, however that came about; its files lie in the directory of the server.
"""

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from tests.support.postgres import START_TIMEOUT_SECONDS, PostgresCluster, PostgresFailed, probably_free_port

PoolMode = Literal["session", "transaction", "statement"]

PROGRAM = "pgbouncer"
POLL_SECONDS = 0.005
PORT_ATTEMPTS = 20

# Round robin: sessions change as often as they can. What is idle goes soon, for each test's database has a pool of its
# own. The rest lets a test that breaks things go on soon.
SETTINGS = """
[databases]
* = host=127.0.0.1 port={server_port} {first_query}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = md5
auth_file = {directory}/users
auth_user = {user}
pool_mode = {mode}
default_pool_size = 12
max_client_conn = 1000
server_round_robin = 1
server_login_retry = 0.2
server_lifetime = 600
server_idle_timeout = 5
query_wait_timeout = 5
ignore_startup_parameters = {ignored}
"""

# Ends the pooler, `$1 $2`, when our end of its standard input closes.
KEEPER = """
trap '' INT TERM HUP
"$1" "$2" </dev/null >"$2.log" 2>&1 &
read -r _
kill -KILL "$!"
"""


class Pooler:
    """One pgbouncer. `url(database)` is a database of the server through it; leaving the `with` block ends it."""

    def __init__(self, cluster: PostgresCluster, mode: PoolMode = "transaction", search_path: str = "") -> None:
        """`search_path`: of its sessions. Clients may ask for their own by `options`, which it refuses otherwise."""
        self._cluster = cluster
        self._mode = mode
        self._search_path = search_path
        self.port = 0
        self._keeper: subprocess.Popen[bytes] | None = None

    @staticmethod
    def is_installed() -> bool:
        """Is there a pgbouncer on this machine?"""
        return _program() is not None

    def url(self, database: str) -> str:
        """The URL of a database through the pooler."""
        return self.through(self._cluster.url(database))

    def through(self, url: str) -> str:
        """A URL of the server's, through the pooler."""
        parts = urlsplit(url)
        credentials, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{credentials}{at}127.0.0.1:{self.port}").geturl()

    def start(self) -> Self:
        """Start it, and return when it accepts connections."""
        for _ in range(PORT_ATTEMPTS):
            self.port = probably_free_port()
            configuration = self._configure(self.port)
            program = _program()
            if program is None:
                raise PostgresFailed(f"{PROGRAM} is not installed")
            self._keeper = self._cluster.spawn(["/bin/sh", "-c", KEEPER, PROGRAM, program, str(configuration)])
            if self._is_up(Path(f"{configuration}.log")):
                return self
            self.close()
        raise PostgresFailed(f"no free port after {PORT_ATTEMPTS} attempts")

    def close(self) -> None:
        """End it, and every connection through it."""
        if self._keeper is not None:
            assert self._keeper.stdin is not None
            self._keeper.stdin.close()
            self._keeper.wait(START_TIMEOUT_SECONDS)
            self._keeper = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _configure(self, port: int) -> Path:
        directory = self._cluster.directory / f"pooler-{port}"
        directory.mkdir(exist_ok=True)
        user, password = self._cluster.credentials
        (directory / "users").write_text(f'"{user}" "{password}"\n')
        configuration = directory / "pgbouncer.ini"
        configuration.write_text(
            SETTINGS.format(
                server_port=self._cluster.port,
                port=port,
                directory=directory,
                user=user,
                mode=self._mode,
                first_query=f"connect_query='set search_path = {self._search_path}'" if self._search_path else "",
                ignored="options" if self._search_path else "",
            )
        )
        for path in (directory, *directory.iterdir()):
            self._cluster.give_away(path)
        return configuration

    def _is_up(self, log: Path) -> bool:
        """Waits for it to answer. False: another program has the port."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            words = log.read_text(errors="replace") if log.exists() else ""
            if "process up" in words:
                with socket.create_connection(("127.0.0.1", self.port), START_TIMEOUT_SECONDS):
                    return True
            if "FATAL" in words or "ERROR" in words:
                if "in use" in words:
                    return False
                raise PostgresFailed(f"pgbouncer did not start:\n{words}")
            time.sleep(POLL_SECONDS)
        raise PostgresFailed(f"pgbouncer was not ready after {START_TIMEOUT_SECONDS} s:\n{words}")


def _program() -> str | None:
    return shutil.which(PROGRAM) or shutil.which(PROGRAM, path="/usr/sbin:/usr/local/sbin")
