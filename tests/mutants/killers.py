"""Tests that find planted bugs of several families."""

from __future__ import annotations

POINTS = "tests/crash/test_crash_points.py::test_a_killed_run_is_recovered_at_every_effect[sqlite-{}]"
LOST_REPLIES = "tests/crash/test_lost_replies.py::test_a_record_written_twice_counts_once[sqlite-{}]"
PROMISES = "tests/crash/test_promises.py::{}[sqlite]"
ERRORS = "tests/crash/test_error_points.py::test_an_error_that_another_try_resolves_shows_nowhere[sqlite-{}]"
