"""Every commit lands and its reply is lost: whoever wrote asks again, and has to recognise its own record."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

import tests.crash.every_scenario  # noqa: F401
from dbos.testing.crashing import Seam
from tests.crash.scenario import SCENARIOS
from tests.crash.test_crash_points import trial


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_record_written_twice_counts_once(
    name: str, database_url: str, seam: Seam, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trial(name, database_url, seam) as run:
        journal = run.process.engine.store.journal
        write, write_soon, write_and_resume = journal.write, journal.write_soon, journal.write_and_resume

        def write_again(records: Sequence[Any]) -> Any:
            write(records)
            return write(records)

        def write_soon_again(records: Sequence[Any], loop: asyncio.AbstractEventLoop) -> Any:
            write_soon(records, loop)
            return write_soon(records, loop)

        def write_again_and_resume(records: Sequence[Any], *whom: Any) -> None:
            write_and_resume(records, lambda call: call(), lambda reply: None)
            write_and_resume(records, *whom)

        monkeypatch.setattr(journal, "write", write_again)
        monkeypatch.setattr(journal, "write_soon", write_soon_again)
        monkeypatch.setattr(journal, "write_and_resume", write_again_and_resume)
        run.run("again-", [])
        run.check_that_no_attempt_lost_its_workflow("again-")
