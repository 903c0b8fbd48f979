"""A throwaway Postgres server: made in a second, gone without a trace.

`PostgresCluster` runs `initdb` and `postgres` in a temporary directory of its own, on a loopback port it finds itself,
as root or as anybody. Tests get a fast one (no fsync, but nothing acknowledged is lost when the server crashes);
benchmarks ask for `durable=True`, a server with its default settings. Whatever happens to this process, SIGKILL
included, a small shell process outlives it just long enough to stop the server and remove the directory.
"""

import contextlib
import os
import random
import secrets
import signal
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal, Self
from urllib.parse import quote, urlsplit

from dbos.cli.postgres_installation import Account, Installation, find_account, find_installation

StopMode = Literal["smart", "fast", "immediate"]

USER = "postgres"
STOP_SIGNALS: Mapping[str, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
START_TIMEOUT_SECONDS = 30.0  # usually 0.1 s; a loaded machine recovering a crashed server takes longer
STOP_TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.005

# Below the range from which systems hand out ports to outgoing connections (32768 on Linux, 49152 elsewhere), so that
# nobody is given our port while the server restarts.
PORTS = range(16_384, 32_000)
PORT_ATTEMPTS = 20

# Losing data when the machine dies is fine for a test. Losing it when the *server* dies is not: a test restarts it with
# `immediate` and expects every acknowledged commit, so `synchronous_commit` stays on.
FAST_SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}

# Waits until our end of its standard input closes, which the operating system does even after SIGKILL. Then stops the
# server if it still runs (a stale file may name a process that is none of ours) and removes the directory, `$1`.
UNDERTAKER = """
trap '' INT TERM HUP
read -r _
pidfile="$1/data/postmaster.pid"
is_ours() { { tr '\\0' ' ' <"/proc/$1/cmdline" || ps -o args= -p "$1"; } 2>/dev/null | grep -qF "$2"; }
if [ -e "$pidfile" ] && pid=$(head -n 1 "$pidfile") && is_ours "$pid" "$1"; then
    kill -QUIT "$pid"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -e "$pidfile" ] || break # the server removes it last
        sleep 0.1
    done
    [ -e "$pidfile" ] && kill -KILL "$pid"
fi
rm -rf "$1"
"""


_straight: dict[str, str] = {}
"""By who enters where, as URLs say it: who owns the databases there, and where the server is."""


class PostgresFailed(Exception):
    """A server program did not do what it was asked to; the message carries its own words."""


class PostgresCluster:
    """One Postgres server with its own data directory.

    `settings` are server settings by name, laid over the default ones (or, unless `durable`, over fast ones). The
    server is made by the first `start()`; `close()`, leaving the `with` block, losing the last reference and the end of
    the process each remove it.
    """

    def __init__(
        self, *, durable: bool = False, settings: Mapping[str, str] | None = None, place: Path | None = None
    ) -> None:
        """`place`: where its directory is made, if not where temporary files belong."""
        self.durable = durable
        self._place = place
        self.settings = {**({} if durable else FAST_SETTINGS), **(settings or {})}
        self.port = 0
        self.entrance: Callable[[str], str] | None = None  # leads tests to a database of that name; None: `url`
        self._password = secrets.token_urlsafe(16)
        self._account: Account | None = None
        self._installation: Installation | None = None
        self._directory: Path | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._finalizer: weakref.finalize[[Path, subprocess.Popen[bytes], int], Any] | None = None

    # ------------------------------------------------------------ the server

    def start(self) -> Self:
        """Make the server if need be, start it, and return when it accepts connections."""
        if self._server is not None and self._server.poll() is None:
            return self
        if self._directory is None:
            try:
                self._create()
            except BaseException:
                self.close()  # nothing half made is left for a second attempt
                raise
        if self.port:  # a restart: clients hold URLs with this port
            self._launch(self.port)
            return self
        for _ in range(PORT_ATTEMPTS):
            port = probably_free_port()
            try:
                self._launch(port)
            except PostgresFailed:
                if "could not bind" not in self.log():
                    raise
            else:
                self.port = port
                return self
        raise PostgresFailed(f"no free port after {PORT_ATTEMPTS} attempts")

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server and keep its data; `immediate` is a crash: no checkpoint, recovery at the next start."""
        if self._server is None:
            return
        self._server.send_signal(STOP_SIGNALS[mode])
        try:
            self._server.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            message = f"still running {STOP_TIMEOUT_SECONDS} s after a {mode} stop:\n{self.log()}"
            raise PostgresFailed(message) from error
        self._server = None

    def restart(self, mode: StopMode = "immediate") -> None:
        """Stop and start on the same port."""
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """Stop the server and remove everything it had. Closing twice is fine; starting again makes a new one."""
        self.stop("immediate")
        if self._finalizer is not None:
            self._finalizer()
        self._finalizer = self._directory = None
        self.port = 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def log(self) -> str:
        """What the server has printed so far."""
        path = self.directory / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def directory(self) -> Path:
        if self._directory is None:
            raise PostgresFailed("the cluster was not started, or is closed")
        return self._directory

    @property
    def version(self) -> int:
        """The major version of the server."""
        if self._installation is None:
            self._installation = find_installation()
        return self._installation.version

    # ------------------------------------------------------------ its databases

    @property
    def credentials(self) -> tuple[str, str]:
        """The name and the password of the superuser."""
        return USER, self._password

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def create_database(self, name: str) -> str:
        """A new empty database, and the URL that leads tests to it."""
        # Copying files takes half the time of logging every page, if the checkpoints it asks for need not reach a disk.
        strategy = "strategy file_copy" if self.version >= 15 and not self.durable else ""
        self._administer(f"create database {{}} template template0 {strategy}", name)
        if self.entrance is None:
            return self.url(name)
        url = self.entrance(name)
        _straight[urlsplit(url).netloc] = urlsplit(self.url()).netloc
        return url

    def ensure_database(self, name: str) -> None:
        """Create it once more if a test has dropped it."""
        import psycopg

        with contextlib.suppress(psycopg.errors.DuplicateDatabase):
            self.create_database(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, disconnecting whoever still uses it. An absent one is fine."""
        self._administer("drop database if exists {} with (force)", name)

    def _administer(self, statement: Any, name: str) -> None:
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))

    # ------------------------------------------------------------ how it is made

    def _create(self) -> None:
        self._account = find_account()
        directory = self._make_directory()
        self._directory = directory
        undertaker = subprocess.Popen(
            ["/bin/sh", "-c", UNDERTAKER, "undertaker", str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # a Ctrl-C at the terminal is not for it
        )
        self._finalizer = weakref.finalize(self, _bury, directory, undertaker, os.getpid())
        self._installation = self._make_reachable(find_installation(), directory)
        self._make_data(self._installation, directory)

    def _make_data(self, installation: Installation, directory: Path) -> None:
        """Fill the data directory."""
        password_file = directory / "password"
        password_file.write_text(self._password)
        self.give_away(password_file)
        self._run(
            [
                str(installation.bin / "initdb"),
                *("--pgdata", str(directory / "data")),
                *("--username", USER, "--pwfile", str(password_file)),
                # Not `trust`: on a shared machine that would hand every local user a shell as the server's account.
                # Not `scram-sha-256` either: deriving its keys costs each connection several milliseconds.
                "--auth=md5",
                *("--encoding=UTF8", "--locale=C", "--no-sync"),
            ]
        )

    def _make_directory(self) -> Path:
        """A private directory that the server's account can reach: `TMPDIR` may lie in somebody's closed home."""
        for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp") if self._place is None else (self._place,):
            directory = Path(tempfile.mkdtemp(prefix="dbos-postgres-", dir=parent))
            self.give_away(directory)
            try:
                self._run(["/bin/ls", str(directory)])
            except PostgresFailed:
                directory.rmdir()
            else:
                return directory
        raise PostgresFailed("found no directory for temporary files that an unprivileged account can use")

    def _make_reachable(self, installation: Installation, directory: Path) -> Installation:
        """The installation itself, or a copy of it when it lies in a place the server's account may not enter."""
        if self._account is None:
            return installation
        try:
            self._run([str(installation.bin / "postgres"), "--version"])
        except (PermissionError, FileNotFoundError):
            return installation.relocated(directory / "installation")
        return installation

    # ------------------------------------------------------------ who runs it

    def give_away(self, path: Path) -> None:
        """Let a file belong to the server's account."""
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid)

    def _launch(self, port: int) -> None:
        assert self._installation is not None
        data = self.directory / "data"
        options = {"port": str(port), "listen_addresses": "127.0.0.1", "unix_socket_directories": "", **self.settings}
        command = [str(self._installation.bin / "postgres"), "-D", str(data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (self.directory / "server.log").open("wb") as log:
            server = self._spawn(command, log)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not _is_ready(data / "postmaster.pid"):
            if server.poll() is not None:
                raise PostgresFailed(f"postgres ended with status {server.returncode}:\n{self.log()}")
            if time.monotonic() > deadline:
                server.kill()
                server.wait()
                raise PostgresFailed(f"postgres was not ready after {START_TIMEOUT_SECONDS} s:\n{self.log()}")
            time.sleep(POLL_SECONDS)
        self._server = server

    def spawn(self, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Run a program beside the server, as its account, with a pipe as standard input."""
        return self._spawn(command, subprocess.DEVNULL, subprocess.PIPE)

    def _run(self, command: Sequence[str]) -> None:
        """Run a program to its end as the server's account."""
        with tempfile.TemporaryFile() as output:
            status = self._spawn(command, output).wait(START_TIMEOUT_SECONDS)
            output.seek(0)
            if status != 0:
                raise PostgresFailed(f"{' '.join(command)} ended with status {status}:\n{output.read().decode()}")

    def _spawn(
        self, command: Sequence[str], output: IO[bytes] | int, standard_input: int = subprocess.DEVNULL
    ) -> "subprocess.Popen[bytes]":
        account = self._account
        return subprocess.Popen(
            command,
            stdin=standard_input,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",  # ours may be closed to the account
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def past_entrance(url: str) -> str:
    """The same database, straight and as its owner: past whatever leads tests to it."""
    parts = urlsplit(url)
    straight = _straight.get(parts.netloc)
    return url if straight is None else parts._replace(netloc=straight).geturl()


def _is_ready(pidfile: Path) -> bool:
    """Whether the server takes connections, by its last word on its own state: the eighth line of its pid file."""
    try:
        lines = pidfile.read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[7].strip() in ("ready", "standby")


def probably_free_port() -> int:
    """A port nobody listens on right now. The server's own attempt to bind it decides."""
    for _ in range(PORT_ATTEMPTS):
        port = random.SystemRandom().choice(PORTS)  # not the global generator: tests reseed that
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise PostgresFailed(f"no free port among {PORT_ATTEMPTS} tried")


def _bury(directory: Path, undertaker: "subprocess.Popen[bytes]", owner_pid: int) -> None:
    """Let the undertaker do its work and wait for it; in a forked child, do nothing: the cluster is the parent's."""
    if os.getpid() != owner_pid:
        return
    assert undertaker.stdin is not None
    undertaker.stdin.close()
    undertaker.wait(STOP_TIMEOUT_SECONDS)
    if directory.exists():
        raise PostgresFailed(f"could not remove {directory}")
