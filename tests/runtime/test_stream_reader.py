"""When a reader of a stream looks: at once while there is a backlog, and not at every single value behind it."""

from __future__ import annotations

import pytest

from dbos import DBOS, SetWorkflowID
from dbos.api.launched import launched_engine
from dbos.runtime.interpreters import run_blocking
from dbos.runtime.operation import Ask, Wait
from dbos.runtime.operations.stream_reading import (
    FIRST_PAGE,
    GATHERING_SECONDS,
    LONGEST_GATHERING_SECONDS,
    StreamReader,
)
from tests.support.fixture_types import Launch


@pytest.mark.parametrize("count", [1, FIRST_PAGE - 1, FIRST_PAGE])
def test_only_a_reader_who_has_caught_up_lets_values_gather(launch: Launch, count: int) -> None:
    caught_up = count < FIRST_PAGE

    @DBOS.workflow()
    def writer() -> None:
        for number in range(count):
            DBOS.write_stream("numbers", number)

    launch()
    with SetWorkflowID("written"):
        writer()
    engine = launched_engine()
    assert engine is not None
    waits = False
    for _ in range(20):  # until the test itself was fast enough to see it
        reader = StreamReader(engine, "written", "numbers")
        assert [run_blocking(engine, reader.next()) for _ in range(count)] == list(range(count))
        following = reader.next()
        effect = next(following)
        following.close()
        if isinstance(effect, Wait):
            assert effect.timeout_seconds is not None
            assert 0 < effect.timeout_seconds <= min(GATHERING_SECONDS * count, LONGEST_GATHERING_SECONDS)
            waits = True
            break
        assert isinstance(effect, Ask)
    assert waits == caught_up
