"""A task that is collected while something is parsed leaves the parse alone."""

import ast
import asyncio
import gc
import inspect
import sys
import threading

import pytest

from tests.support.collected import _WithoutTraceback


async def fail() -> None:
    raise ValueError("nobody asks")


async def abandon() -> None:
    task = asyncio.get_running_loop().create_task(fail())
    cycle: list[object] = [task]
    cycle.append(cycle)
    await asyncio.wait([task])


def test_a_parse_survives_the_end_of_a_failed_task(caplog: pytest.LogCaptureFixture) -> None:
    source = inspect.getsource(threading)
    gc.collect()  # what earlier tests left
    caplog.clear()
    gc.disable()
    try:
        asyncio.run(abandon())
    finally:
        gc.enable()
    ast.parse(source)
    assert [(record.name, record.exc_info) for record in caplog.records] == [("asyncio", None)]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="a parse within a parse is harmless there")
def test_tracebacks_would_fail_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(_WithoutTraceback, "filter", lambda self, record: True)
    with pytest.raises(SystemError, match="AST constructor recursion depth mismatch"):
        test_a_parse_survives_the_end_of_a_failed_task(caplog)
