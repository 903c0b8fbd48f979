"""Which code this is, however it was compiled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dbos

TELL = """
from work import work
from dbos.runtime.fingerprint import fingerprint
print(fingerprint({"work": work}))
"""

WORK = '''
def work():
    return run(
        """
        select {}
        """
    )
'''


def told(directory: Path, number: int, *options: str) -> str:
    """By a process of its own."""
    (directory / "work.py").write_text(WORK.format(number))
    path = f"{directory}:{Path(dbos.__file__).parents[1]}"
    command = [sys.executable, "-B", *options, "-c", TELL]
    return subprocess.run(command, env={"PYTHONPATH": path}, check=True, capture_output=True, text=True).stdout


def test_code_without_the_ends_of_its_lines_is_told_apart_and_recognised(tmp_path: Path) -> None:
    one = told(tmp_path, 1, "-X", "no_debug_ranges")
    assert told(tmp_path, 1) == one
    assert told(tmp_path, 2, "-X", "no_debug_ranges") != one
