"""Every planted bug fits the source of today and names a test of today; `make mutants` tells whether it is found."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.mutants.__main__ import ROOT, fits
from tests.mutants.mutant import Mutant
from tests.mutants.planted import MUTANTS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_fits_the_source(mutant: Mutant) -> None:
    assert fits(mutant), f"the text to replace does not occur exactly once in src/dbos/{mutant.file}"
    assert mutant.new != mutant.old


def test_names_tell_planted_bugs_apart() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.timeout(300)  # a busy machine takes its time to collect most of the suite
def test_every_killer_is_a_test() -> None:
    killers = sorted({mutant.killer for mutant in MUTANTS})
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *killers],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert collected.returncode == 0, collected.stdout[-3000:] + collected.stderr[-3000:]
