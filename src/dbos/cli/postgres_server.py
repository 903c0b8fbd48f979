"""A Postgres server of one's own for development: made once, kept in one directory, reached through loopback only."""

from __future__ import annotations

import os
import secrets
import shlex
import socket
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dbos.cli.failures import fail
from dbos.cli.postgres_installation import Account, Installation, PostgresNotFound, find_account, find_installation

USER, DATABASE = "postgres", "dbos"  # the library creates the database when it first connects
START_SECONDS = 60


def default_directory() -> Path:
    """Where the server of this user is kept; Postgres does not run as root, and may not enter the home of root."""
    if os.geteuid() == 0:
        return Path("/var/lib/dbos/postgres")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "dbos" / "postgres"


@dataclass(frozen=True)
class LocalServer:
    """The server in a directory, made or not, running or not."""

    directory: Path

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    def running_port(self) -> int | None:
        """The port it listens on, or None if it does not run."""
        if not self.data.exists() or self._pg_ctl("status", check=False).returncode != 0:
            return None
        return int((self.data / "postmaster.pid").read_text().splitlines()[3])

    def url(self, port: int) -> str:
        """Where applications find it."""
        return f"postgresql://{USER}:{self._password_file.read_text().strip()}@127.0.0.1:{port}/{DATABASE}"

    def start(self, port: int) -> None:
        """Make it if it was never made, and start it on this port. Fails if the port is taken."""
        _require_free(port)
        if not self.data.exists():
            self._create()
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        self._pg_ctl("start", "-w", "-t", str(START_SECONDS), "-l", str(self.log), "-o", options)

    def stop(self) -> None:
        """Stop it, whoever is connected; what was committed stays."""
        self._pg_ctl("stop", "-w", "-m", "fast")

    # ------------------------------------------------------------ how it is made

    @property
    def _password_file(self) -> Path:
        return self.directory / "password"

    @cached_property
    def _installation(self) -> Installation:
        try:
            return find_installation()
        except PostgresNotFound as error:
            raise fail(str(error)) from error

    @cached_property
    def _account(self) -> Account | None:
        try:
            return find_account()
        except PostgresNotFound as error:
            raise fail(str(error)) from error

    def _create(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._password_file.touch(mode=0o600)
            self._password_file.write_text(secrets.token_urlsafe(16) + "\n")
            if self._account is not None:
                for path in (self.directory, self._password_file):
                    os.chown(path, self._account.uid, self._account.gid)
        except OSError as error:
            raise fail(f"{self.directory} cannot be used for a server: {error.strerror}") from error
        self._run(
            [
                str(self._installation.bin / "initdb"),
                *("--pgdata", str(self.data), "--username", USER, "--pwfile", str(self._password_file)),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"),
            ]
        )

    def _pg_ctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._run([str(self._installation.bin / "pg_ctl"), "-D", str(self.data), *arguments], check)

    def _run(self, command: list[str], check: bool = True) -> subprocess.CompletedProcess[str]:
        account = self._account
        try:
            process = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                cwd="/",  # ours may be closed to the account
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        except OSError as error:
            raise fail(f"{command[0]} cannot be run: {error.strerror}") from error
        if check and process.returncode != 0:
            said = " ".join((process.stderr or process.stdout).split())
            raise fail(f"{shlex.join(command[:1])} failed: {said} (see {self.log})")
        return process


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise fail(f"Port {port} cannot be used: {error.strerror}. Choose another with --port") from error
