"""When a reader of a stream looks: at once while there is a backlog, and not at every single value behind it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dbos import DBOS, SetWorkflowID
from dbos.api.launched import launched_engine
from dbos.runtime.interpreters import run_blocking
from dbos.runtime.operation import Ask, Wait
from dbos.runtime.operations import stream_reading
from dbos.runtime.operations.stream_reading import FIRST_PAGE, StreamReader
from tests.support.fixture_types import Launch


@pytest.mark.parametrize(
    ("count", "gathers_seconds"), [(1, 0.0005), (4, 0.002), (FIRST_PAGE - 1, 0.004), (FIRST_PAGE, 0)]
)
def test_only_a_reader_who_has_caught_up_lets_values_gather(
    launch: Launch, monkeypatch: pytest.MonkeyPatch, count: int, gathers_seconds: float
) -> None:
    @DBOS.workflow()
    def writer() -> None:
        for number in range(count):
            DBOS.write_stream("numbers", number)

    launch()
    with SetWorkflowID("written"):
        writer()
    engine = launched_engine()
    assert engine is not None
    monkeypatch.setattr(stream_reading, "time", SimpleNamespace(monotonic=lambda: 0.0))
    reader = StreamReader(engine, "written", "numbers")
    assert [run_blocking(engine, reader.next()) for _ in range(count)] == list(range(count))
    following = reader.next()
    effect = next(following)
    following.close()
    if gathers_seconds:
        assert isinstance(effect, Wait)
        assert effect.timeout_seconds == pytest.approx(gathers_seconds)
    else:
        assert isinstance(effect, Ask)
