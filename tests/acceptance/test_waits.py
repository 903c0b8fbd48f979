"""What happens right behind a look: every wait, in both colours, while nothing but the event itself wakes anybody.

The answer of the first look is held back until what is waited for has happened. Then the wait must not begin, or end
at once; and if by now its time is over as well, what came in time has still come in time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from dbos import DBOS, SetWorkflowID
from dbos.runtime import interpreters
from dbos.runtime.operation import Ask, Commit, Effect
from dbos.store.records import ReceiveMessage
from dbos.testing.shifting import Shift
from tests.support.fixture_types import Launch
from tests.support.waiting import PATIENCE_SECONDS, Gate

TIME_SECONDS = 600.0
NOBODY_WAKES = {"use_listen_notify": False, "notification_listener_polling_interval_sec": 1000.0}


class Way(NamedTuple):
    """One way to wait for what workflow `w` does, or for a message."""

    plain: Callable[[float], Any]
    coroutine: Callable[[float], Awaitable[Any]]
    in_a_workflow: bool = False
    is_timed: bool = True


WAYS = {
    "recv": Way(
        lambda seconds: DBOS.recv("t", seconds), lambda seconds: DBOS.recv_async("t", seconds), in_a_workflow=True
    ),
    "get_event": Way(
        lambda seconds: DBOS.get_event("w", "k", seconds), lambda seconds: DBOS.get_event_async("w", "k", seconds)
    ),
    "get_event in a workflow": Way(
        lambda seconds: DBOS.get_event("w", "k", seconds),
        lambda seconds: DBOS.get_event_async("w", "k", seconds),
        in_a_workflow=True,
    ),
    "read_stream": Way(
        lambda seconds: next(DBOS.read_stream("w", "s", timeout_seconds=seconds)),
        lambda seconds: anext(DBOS.read_stream_async("w", "s", timeout_seconds=seconds)),
    ),
    "read_stream_offset in a workflow": Way(
        lambda seconds: DBOS.read_stream_offset("w", "s", 0, timeout_seconds=seconds),
        lambda seconds: DBOS.read_stream_offset_async("w", "s", 0, timeout_seconds=seconds),
        in_a_workflow=True,
    ),
    "get_result": Way(lambda _: DBOS.get_result("w"), lambda _: DBOS.get_result_async("w"), is_timed=False),
    "get_result in a workflow": Way(
        lambda _: DBOS.get_result("w"), lambda _: DBOS.get_result_async("w"), in_a_workflow=True, is_timed=False
    ),
}
LOOKS = {"values", "page", "load_many"}  # and receiving


class Scene:
    """Workflow `w`, which does nothing before the first look of somebody else has been answered inside the store."""

    def __init__(self, way: Way, coroutine: bool) -> None:
        self.way = way
        self.coroutine = coroutine
        self.gate = Gate()
        self.looked = False
        self.then: Callable[[], None] = lambda: None

        @DBOS.workflow()
        def act() -> str:
            self.gate.pass_through()
            DBOS.write_stream("s", "here")
            DBOS.set_event("k", "here")
            return "here"

        @DBOS.workflow()
        def wait() -> Any:
            return way.plain(TIME_SECONDS)

        @DBOS.workflow()
        async def wait_async() -> Any:
            return await way.coroutine(TIME_SECONDS)

        self._act, self._wait, self._wait_async = act, wait, wait_async

    def play(self) -> Any:
        """What the one who waits is told."""
        with SetWorkflowID("w"):
            self.acting = DBOS.start_workflow(self._act)
        self.gate.wait_for_arrival()
        told: list[Any] = []
        with self.gate, self._intercepted():
            waiting = threading.Thread(target=lambda: told.append(self._be_told()), daemon=True)
            waiting.start()
            waiting.join(PATIENCE_SECONDS)
        assert self.looked
        assert not waiting.is_alive(), "slept through"
        return told[0]

    def _be_told(self) -> Any:
        if self.way.in_a_workflow:
            with SetWorkflowID("waiting"):
                return DBOS.start_workflow(self._wait_async if self.coroutine else self._wait).get_result()
        return asyncio.run(self._wait_here()) if self.coroutine else self.way.plain(TIME_SECONDS)

    async def _wait_here(self) -> Any:
        return await self.way.coroutine(TIME_SECONDS)

    def _happen(self) -> None:
        """On a thread of its own: whoever waits is in the middle of an effect."""

        def act() -> None:
            self.gate.open()
            self.acting.get_result()
            if self.way is WAYS["recv"]:
                DBOS.send("waiting", "here", "t")
            self.then()

        acting = threading.Thread(target=act)
        acting.start()
        acting.join(PATIENCE_SECONDS)

    def _saw(self, effect: Effect) -> None:
        if not self.looked and _is_look(effect):
            self.looked = True
            self._happen()

    @contextmanager
    def _intercepted(self) -> Generator[None]:
        perform, perform_async = interpreters._perform_blocking, interpreters._perform_async

        def performed(engine: Any, effect: Effect) -> Any:
            answer = perform(engine, effect)
            self._saw(effect)
            return answer

        async def performed_async(engine: Any, effect: Effect) -> Any:
            answer = await perform_async(engine, effect)
            self._saw(effect)
            return answer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(interpreters, "_perform_blocking", performed)
            patch.setattr(interpreters, "_perform_async", performed_async)
            yield


def _is_look(effect: Effect) -> bool:
    if isinstance(effect, Commit):
        return any(isinstance(record, ReceiveMessage) for record in effect.records)
    return isinstance(effect, Ask) and effect.call.__name__ in LOOKS and effect.arguments[0] != "waiting"


every_colour = pytest.mark.parametrize("coroutine", [False, True], ids=["plain", "coroutine"])


@every_colour
@pytest.mark.parametrize("way", WAYS)
def test_what_happens_between_the_look_and_the_wait_is_not_slept_through(
    launch: Launch, way: str, coroutine: bool
) -> None:
    scene = Scene(WAYS[way], coroutine)
    launch(**NOBODY_WAKES)
    assert scene.play() == "here"


@pytest.mark.owner("makes the table that moves the time of a database")
@every_colour
@pytest.mark.parametrize("way", [name for name, way in WAYS.items() if way.is_timed])
def test_what_came_in_time_is_found_though_the_answer_to_the_look_comes_late(
    launch: Launch, way: str, coroutine: bool
) -> None:
    """A process that was frozen just then, or whose network was, must not say that nothing came."""
    scene, shift = Scene(WAYS[way], coroutine), Shift()
    scene.then = lambda: shift.forward(int(2 * TIME_SECONDS * 1000))
    with shift.installed():
        launch(**NOBODY_WAKES)
        assert scene.play() == "here"
