"""Questions that many may have at the same time, each about one thing: put to the store as one.

Who asks while a question is under way shares the next one. So an answer is never older than its question, whoever asks
alone waits for nobody, and a thousand who ask at once cost a few queries.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from dbos.error import DBOSException
from dbos.lazy import asyncio
from dbos.store.database import StoreClosed
from dbos.store.reply import Reply, deliver

K = TypeVar("K")
V = TypeVar("V")

MAX_KEYS = 1_000  # in one query


class _Asked(Reply[V | None], Generic[K, V]):
    """One caller's question."""

    __slots__ = ("key",)

    def __init__(self, key: K, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__(loop)
        self.key = key


class SharedQuestion(Generic[K, V]):
    """One kind of question; the answer about a key is None if the store has none."""

    def __init__(
        self,
        ask_about_all: Callable[[Sequence[K]], Mapping[K, V]],
        run_on_reader: Callable[[Callable[[], None]], None],
    ) -> None:
        self.__name__ = ask_about_all.__name__
        self._ask_about_all = ask_about_all
        self._run_on_reader = run_on_reader
        self._lock = threading.Lock()  # guards everything below
        self._asked: list[_Asked[K, V]] = []
        self._under_way = False

    def __call__(self, key: K) -> V | None:
        """Ask, and block until the answer is there. Who finds no question under way asks on this thread."""
        asked: _Asked[K, V] = _Asked(key)
        if self._add(asked):
            self._ask()
        return asked.wait()

    def soon(self, key: K) -> asyncio.Future[V | None]:
        """The same for a coroutine, asked by a reader."""
        asked: _Asked[K, V] = _Asked(key, asyncio.get_running_loop())
        if self._add(asked):
            self._leave_to_reader()
        return asked.future

    def _add(self, asked: _Asked[K, V]) -> bool:
        """Must the caller see to it that the question is asked?"""
        with self._lock:
            self._asked.append(asked)
            first = not self._under_way
            self._under_way = True
        return first

    def _leave_to_reader(self) -> None:
        try:
            self._run_on_reader(self._ask)
        except (RuntimeError, DBOSException) as error:  # there is no thread, or the end has come
            with self._lock:
                stranded, self._asked = self._asked, []
                self._under_way = False
            for asked in stranded:
                asked.error = error
            deliver(stranded)

    def _ask(self) -> None:
        """Ask for those who wait now, and leave those who come meanwhile to a reader."""
        with self._lock:
            batch, self._asked = self._asked[:MAX_KEYS], self._asked[MAX_KEYS:]
        answered = False
        try:
            self._answer(batch)
            answered = True
        finally:
            with self._lock:
                if not answered:  # this thread was interrupted: somebody else has to ask
                    self._asked = batch + self._asked
                more = self._under_way = bool(self._asked)
            if answered:
                deliver(batch)
            if more:
                self._leave_to_reader()

    def _answer(self, batch: Sequence[_Asked[K, V]]) -> None:
        keys = list(dict.fromkeys(asked.key for asked in batch))
        try:
            found = self._ask_about_all(keys)
        except Exception as error:
            if len(keys) > 1 and not isinstance(error, StoreClosed):  # whose fault is it?
                middle = len(batch) // 2
                self._answer(batch[:middle])
                self._answer(batch[middle:])
            else:
                for asked in batch:
                    asked.error = error
        else:
            for asked in batch:
                asked.value = found.get(asked.key)
