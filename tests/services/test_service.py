"""No loop dies silently (I50): whatever a round raises, the next one comes, and it is told meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dbos import DBOS
from dbos.services import service
from dbos.services.service import Service
from tests.support.waiting import eventually


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit, GeneratorExit])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_loop_goes_on_after_a_round_that_failed(
    launch: Callable[..., type[DBOS]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: type[BaseException],
) -> None:
    monkeypatch.setattr(service, "FIRST_RETRY_SECONDS", 0.001)
    dbos = launch(retention_rows=1_000)
    running = dbos._instance and dbos._instance._running
    assert running
    assert len(running.services) >= 8
    rounds = {each.name: _fail_once(each, kind, monkeypatch) for each in running.services}
    for each in running.services:
        each.interrupt()
    eventually(lambda: all(count[0] >= 2 for count in rounds.values()))
    eventually(lambda: all(each.failures == 0 for each in running.services))
    for name in rounds:
        assert f"The {name} service failed" in caplog.text


def _fail_once(each: Service, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The next round of a service raises; the number of rounds from then on."""
    count = [0]
    poll = each.poll

    def failing() -> float | None:
        count[0] += 1
        if count[0] == 1:
            raise kind("a round failed")
        return poll()

    monkeypatch.setattr(each, "poll", failing)
    return count
