"""The virtual environments that are compared: this checkout, and the original release from the package index.

Each lives in a directory of its own below `.bench/`, is built once and rebuilt when what it should hold changes. The
original release is installed and run as its users would; nobody looks inside.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
DIRECTORY = CHECKOUT / ".bench"


@dataclass(frozen=True, slots=True)
class Environment:
    """A named set of requirements, as arguments for `pip install`."""

    name: str
    requirements: tuple[str, ...]
    depends_on: tuple[Path, ...] = ()  # files that change what the requirements mean

    @property
    def python(self) -> Path:
        return DIRECTORY / self.name / "bin" / "python"

    def build(self) -> None:
        """Make the environment, unless it stands and holds what it should."""
        wanted = self._description()
        stamp = DIRECTORY / self.name / ".installed"
        if stamp.exists() and stamp.read_text() == wanted:
            return
        DIRECTORY.mkdir(exist_ok=True)
        _run([sys.executable, "-m", "venv", "--clear", str(DIRECTORY / self.name)])
        _run([str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *self.requirements])
        stamp.write_text(wanted)

    def evaluate(self, expression: str) -> str:
        """What a Python expression is in there. Importing `dbos` this way also fills the bytecode caches."""
        code = f"import dbos, platform, sqlite3, importlib.metadata; print({expression})"
        return subprocess.run(
            [str(self.python), "-c", code], check=True, capture_output=True, text=True, cwd=DIRECTORY
        ).stdout.strip()

    def _description(self) -> str:
        contents = [path.read_text() for path in self.depends_on]
        return "\n".join([sys.version, *self.requirements, *contents])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


OURS = Environment("ours", ("--editable", str(CHECKOUT)), depends_on=(CHECKOUT / "pyproject.toml",))
ORIGINAL = Environment("original", ("dbos==3.4.0", "psycopg[binary]"))
