"""Bugs of the loops beside user code."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

GOES_ON = "tests/services/test_service.py::test_every_loop_goes_on_after_a_round_that_failed[sqlite-{}]"

MUTANTS = (
    Mutant(
        "a loop ends with the first round that fails",
        "services/service.py",
        "if self._stopping or self.engine.closed:",
        "if True:",
        GOES_ON.format("RuntimeError"),
    ),
    Mutant(
        "a loop ends with a round that asks the program to end",
        "services/service.py",
        "except BaseException:  # whatever",
        "except Exception:  # whatever",
        GOES_ON.format("SystemExit"),
    ),
)
