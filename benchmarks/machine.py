"""What the figures were measured on: enough to judge them by, nothing that identifies anyone's machine."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
from pathlib import Path

from benchmarks.environments import CHECKOUT


def hardware() -> str:
    """Cores, processor and the file system under the databases."""
    return f"{os.cpu_count()} cores, {_processor()}, {platform.system()}, databases on {_temporary_file_system()}"


def commit() -> str:
    """The measured commit, and whether the library differed from it."""
    revision = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", "src", "pyproject.toml")
    return f"{revision} with local changes" if changed else revision


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _temporary_file_system() -> str:
    """The type of the file system mounted closest above the temporary directory."""
    directory = Path(tempfile.gettempdir()).resolve()
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except FileNotFoundError:
        return "an unknown file system"
    above = [(point, kind) for point, kind in mounts if directory.is_relative_to(point)]
    return max(above, key=lambda mount: len(mount[0]))[1]


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout.strip()
