"""A module that is imported when something of it is first used."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dbos.lazy import LazyModule
from tests.support.waiting import PATIENCE_SECONDS

NAME = "imported_late"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a module that nobody has imported."""
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / f"{NAME}.py"
    path.write_text("answer = 42")
    yield path
    sys.modules.pop(NAME, None)


@pytest.mark.usefixtures("source")
def test_the_first_look_imports() -> None:
    module: Any = LazyModule(NAME)
    assert NAME not in sys.modules
    assert module.answer == 42
    assert NAME in sys.modules
    with pytest.raises(AttributeError, match=f"'{NAME}' has no attribute 'question'"):
        _ = module.question


@pytest.mark.usefixtures("source")
def test_what_is_replaced_for_a_while_is_seen_for_that_while() -> None:
    module: Any = LazyModule(NAME)
    for stand_in in (43, 44):  # the first time nobody has looked before
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"{NAME}.answer", stand_in)
            assert module.answer == stand_in
        assert module.answer == 42


def test_a_module_that_another_thread_is_importing_is_waited_for(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hall = SimpleNamespace(entered=threading.Event(), go_on=threading.Event(), visits=0)
    monkeypatch.setitem(sys.modules, "hall", hall)
    source.write_text(
        f"import hall\nhall.visits += 1\nhall.entered.set()\nhall.go_on.wait({PATIENCE_SECONDS})\nanswer = 42"
    )
    module: Any = LazyModule(NAME)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(lambda: module.answer)
        assert hall.entered.wait(PATIENCE_SECONDS)
        second = threads.submit(lambda: module.answer)
        hall.go_on.set()
        assert (first.result(PATIENCE_SECONDS), second.result(PATIENCE_SECONDS), hall.visits) == (42, 42, 1)
