"""Questions asked at the same time become one query, and an answer is never older than its question."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial, wraps
from typing import Any

import pytest

from dbos.runtime.hosts import ThreadHost
from dbos.runtime.questions import MAX_KEYS, SharedQuestion
from dbos.store.database import StoreClosed
from tests.support.waiting import Gate, eventually, eventually_async


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*arguments: Any, **fixtures: Any) -> None:
        asyncio.run(test(*arguments, **fixtures))

    return run


class Oracle:
    """Answers with the number of the round; the first one waits at the gate."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.rounds: list[list[str]] = []
        self.poison = ""
        self.failure: type[Exception] = ValueError

    def ask(self, keys: Sequence[str]) -> Mapping[str, int]:
        self.rounds.append(list(keys))
        number = len(self.rounds)
        if number == 1:
            self.gate.pass_through()
        if self.poison in keys:
            raise self.failure("poison")
        return {key: number for key in keys if key != "unknown"}


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    oracle = Oracle()
    with oracle.gate:
        yield oracle


@pytest.fixture
def readers() -> Iterator[ThreadHost]:
    readers = ThreadHost("test-reader", 2)
    yield readers
    readers.close(drop=True)


@pytest.fixture
def question(oracle: Oracle, readers: ThreadHost) -> SharedQuestion[str, int]:
    return SharedQuestion(oracle.ask, readers.submit)


class Asking:
    """Asks on a thread of its own."""

    def __init__(self, ask: Callable[[], int | None]) -> None:
        self.answer: int | None = None
        self.error: Exception | None = None
        self._ask = ask
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.answer = self._ask()
        except Exception as error:
            self.error = error

    def result(self) -> int | None:
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error
        return self.answer


def waiting(question: SharedQuestion[str, int]) -> int:
    return len(question._asked)


def test_who_asks_while_a_question_is_under_way_shares_the_next(
    oracle: Oracle, question: SharedQuestion[str, int]
) -> None:
    first = Asking(partial(question, "first"))
    oracle.gate.wait_for_arrival()
    others = [Asking(partial(question, key)) for key in ("a", "b", "a", "first")]
    eventually(lambda: waiting(question) == 4)
    oracle.gate.open()
    assert first.result() == 1
    assert [each.result() for each in others] == [2, 2, 2, 2]  # "first" as well: its answer is not the older one
    assert sorted(oracle.rounds[1]) == ["a", "b", "first"]
    assert len(oracle.rounds) == 2


@on_a_loop
async def test_coroutines_share_it_with_threads(oracle: Oracle, question: SharedQuestion[str, int]) -> None:
    first = question.soon("first")
    await oracle.gate.wait_for_arrival_async()
    thread = Asking(partial(question, "thread"))
    await eventually_async(lambda: waiting(question) == 1)
    others = [question.soon(key) for key in ("a", "unknown")]
    cancelled = question.soon("b")
    cancelled.cancel()
    oracle.gate.open()
    assert await first == 1
    assert await asyncio.gather(*others) == [2, None]
    assert await asyncio.to_thread(thread.result) == 2
    assert len(oracle.rounds) == 2


def test_who_asks_alone_asks_on_its_own_thread(oracle: Oracle, question: SharedQuestion[str, int]) -> None:
    oracle.gate.open()
    before = threading.active_count()
    assert [question("a"), question("a")] == [1, 2]
    assert threading.active_count() == before


@on_a_loop
async def test_a_refused_question_harms_nobody_else(oracle: Oracle, question: SharedQuestion[str, int]) -> None:
    oracle.poison = "bad"
    first = question.soon("first")
    await oracle.gate.wait_for_arrival_async()
    asked = [question.soon(key) for key in ("a", "bad", "b", "c", "bad")]
    oracle.gate.open()
    await first
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(answer, ValueError) for answer in answers] == [False, True, False, False, True]


@on_a_loop
async def test_a_closed_store_is_asked_once(oracle: Oracle, question: SharedQuestion[str, int]) -> None:
    oracle.poison, oracle.failure = "a", StoreClosed
    first = question.soon("first")
    await oracle.gate.wait_for_arrival_async()
    asked = [question.soon(key) for key in ("a", "b", "c")]
    oracle.gate.open()
    await first
    assert {type(each) for each in await asyncio.gather(*asked, return_exceptions=True)} == {StoreClosed}
    assert len(oracle.rounds) == 2


@on_a_loop
async def test_very_many_are_asked_in_several_rounds(oracle: Oracle, question: SharedQuestion[str, int]) -> None:
    first = question.soon("first")
    await oracle.gate.wait_for_arrival_async()
    asked = [question.soon(str(number)) for number in range(2 * MAX_KEYS + 1)]
    oracle.gate.open()
    assert await first == 1
    assert set(await asyncio.gather(*asked)) == {2, 3, 4}


@on_a_loop
async def test_without_a_reader_everybody_hears_why(
    oracle: Oracle, question: SharedQuestion[str, int], readers: ThreadHost
) -> None:
    oracle.gate.open()
    readers.close(drop=True)
    with pytest.raises(RuntimeError, match="stopped"):
        await question.soon("a")
    assert question("a") == 1  # nothing is left under way


def test_an_interrupted_thread_leaves_its_question_to_others(
    oracle: Oracle, question: SharedQuestion[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(keys: Sequence[str]) -> Mapping[str, int]:
        others.append(Asking(partial(question, "b")))
        eventually(lambda: waiting(question) == 1)
        monkeypatch.setattr(question, "_ask_about_all", oracle.ask)
        raise KeyboardInterrupt

    others: list[Asking] = []
    oracle.gate.open()
    monkeypatch.setattr(question, "_ask_about_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        question("a")
    assert others[0].result() == 1
    assert oracle.rounds == [["a", "b"]]  # others may have come with the first, in time for its round
