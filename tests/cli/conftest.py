"""Runs the command `dbos` in this process: for a person, for a pipe, for a script."""

import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dbos.cli.commands import dbos


@dataclass(frozen=True)
class Ran:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out.count("\n") == 1
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        return [line.split("\t") for line in self.out.splitlines()]


class _Stream(io.TextIOWrapper):
    """A standard stream that is a terminal, or not."""

    def __init__(self, terminal: bool, said: bytes = b"") -> None:
        super().__init__(io.BytesIO(said), encoding="utf-8", write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def said(self) -> str:
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined,no-any-return]


Run = Callable[..., Ran]
STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")  # colours and movements of the cursor


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """`run("workflow", "list")` as in a pipe, in an empty directory; `terminal=True` for a person at a terminal."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in ("NO_COLOR", "FORCE_COLOR", "DBOS_SYSTEM_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")

    def run(*arguments: str, terminal: bool = False, says: str = "") -> Ran:
        out, err = _Stream(terminal), _Stream(terminal)
        code: Any = 0
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            patch.setattr(sys, "stdin", _Stream(terminal, says.encode()))
            try:
                dbos.main(list(arguments), prog_name="dbos")
            except SystemExit as end:
                code = end.code
        return Ran(code, *(STEERING.sub("", said) if terminal else said for said in (out.said(), err.said())))

    return run
