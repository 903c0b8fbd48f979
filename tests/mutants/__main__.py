"""Plant each bug in a copy of the source and run the test that must notice it.

    python -m tests.mutants            all of them
    python -m tests.mutants sleep      those whose name contains a word
    python -m tests.mutants --family queues

The copy comes first on the path of the tests; the tree itself is never touched. A test counts as a killer only if it
passes on the untouched copy, which is tried first. Exit status 1 if a bug survives or a patch no longer fits.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.mutants.mutant import Mutant
from tests.mutants.planted import MUTANTS, mutants_of

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
TEST_TIMEOUT_SECONDS = 60  # a planted bug may well hang; the tests themselves take a few seconds
RUN_TIMEOUT_SECONDS = 120.0  # for each test of a run


def main(words: Sequence[str]) -> int:
    """Run the chosen mutants and print one line for each."""
    of_family = words[:1] == ["--family"]
    bugs, words = (mutants_of(words[1]), words[2:]) if of_family else (MUTANTS, words)
    chosen = [mutant for mutant in bugs if all(word in mutant.name for word in words)]
    misfits = [mutant for mutant in chosen if not fits(mutant)]
    for mutant in misfits:
        print(f"{mutant.name}: the text to replace does not occur exactly once in src/dbos/{mutant.file}")
    if misfits or not chosen:
        return 1
    with tempfile.TemporaryDirectory(prefix="dbos-mutants-") as directory:
        healthy = copy_source(Path(directory) / "healthy")
        if not passes(healthy, {mutant.killer for mutant in chosen}):
            print("the tests do not even pass on the source as it is")
            return 1
        survivors = sum(survives(mutant, Path(directory) / f"mutant-{number}") for number, mutant in enumerate(chosen))
    print(f"{len(chosen) - survivors} of {len(chosen)} planted bugs were found")
    return 1 if survivors else 0


def fits(mutant: Mutant) -> bool:
    """Does the text to be replaced occur exactly once?"""
    return (SOURCE / "dbos" / mutant.file).read_text().count(mutant.old) == 1


def survives(mutant: Mutant, directory: Path) -> bool:
    """Plant one bug and run its killer."""
    began = time.monotonic()
    source = copy_source(directory)
    path = source / "dbos" / mutant.file
    path.write_text(path.read_text().replace(mutant.old, mutant.new))
    survived = passes(source, [mutant.killer], quiet=True)
    shutil.rmtree(directory)
    verdict = "SURVIVED" if survived else "killed"
    print(
        f"{verdict:9}{time.monotonic() - began:5.1f} s  {mutant.name:58} {mutant.killer.partition('::')[2]}", flush=True
    )
    return survived


def copy_source(directory: Path) -> Path:
    """A copy of the source to import from."""
    shutil.copytree(SOURCE, directory, ignore=shutil.ignore_patterns("__pycache__"))
    return directory


def passes(source: Path, tests: Iterable[str], *, quiet: bool = False) -> bool:
    """Run tests on the library in `source`; False if one fails. Raises RuntimeError if they could not be run."""
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}

    chosen = sorted(tests)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_SECONDS * len(chosen),
            check=False,
        )

    where = run("-c", "import dbos; print(dbos.__file__)")
    if where.returncode == 0 and not Path(where.stdout.strip()).is_relative_to(source):
        raise RuntimeError(f"the tests would import {where.stdout.strip()} instead of the copy")
    options = [
        "-x",
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "--hypothesis-profile=mutants",
    ]
    try:
        tried = run("-m", "pytest", *options, "-o", f"timeout={TEST_TIMEOUT_SECONDS}", *chosen)
    except subprocess.TimeoutExpired:
        return False
    if tried.returncode not in (0, 1):  # 1: a test failed; anything else: it never came to that
        raise RuntimeError(f"pytest ended with {tried.returncode}:\n{tried.stdout[-3000:]}\n{tried.stderr[-3000:]}")
    if tried.returncode == 1 and not quiet:
        print(tried.stdout[-5000:])
    return tried.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
