"""Wake-ups inside this process, for threads and coroutines alike.

Waiting is: register for keys, check the store, wait until woken. A key is a (kind, id) pair such as
("workflow", "wf-1"). Local commits wake directly; the listener wakes for other processes and, as the floor
beneath lost notifications, asks the store about everybody who waits, in one query (see services/listener.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from dbos.lazy import asyncio

Key = tuple[str, str]

LONGEST_WAIT_SECONDS = 10_000_000.0  # what a lock accepts as a timeout on every platform is more; about four months


class Registration:
    """One waiter. Being woken is remembered until the next wait, so nothing is lost between check and wait.

    Race, and why no lock is needed: the waiter stores `_alarm`, then looks at `_woken`; the waker sets `_woken`, then
    looks at `_alarm`. Whichever comes second sees the other.
    """

    __slots__ = ("_alarm", "_waiters", "_woken", "keys")

    def __init__(self, waiters: Waiters, keys: tuple[Key, ...]) -> None:
        self.keys = keys
        self._waiters = waiters
        self._woken = False
        self._alarm: Callable[[], None] | None = None

    @property
    def is_asleep(self) -> bool:
        """Does somebody wait for it just now, whom nothing has woken yet?"""
        return self._alarm is not None and not self._woken

    def wake(self) -> None:
        """Wake this waiter, now or at its next wait. Callable from any thread."""
        self._woken = True
        alarm = self._alarm
        if alarm is not None:
            alarm()

    def wait(self, timeout_seconds: float | None) -> bool:
        """Block this thread until woken (True) or until the time is over (False), as it may be already."""
        gate = threading.Lock()
        gate.acquire()

        def open_gate() -> None:
            try:
                gate.release()
            except RuntimeError:  # two wakers at once: open already
                pass

        self._alarm = open_gate
        try:
            if not self._woken:
                longest = None if timeout_seconds is None else min(max(timeout_seconds, 0), LONGEST_WAIT_SECONDS)
                gate.acquire(timeout=-1 if longest is None else longest)
        finally:
            self._alarm = None
        woken, self._woken = self._woken, False
        return woken

    async def wait_async(self, timeout_seconds: float | None) -> bool:
        """Suspend this coroutine until woken (True) or until the time is over (False)."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if not future.done():
                future.set_result(None)

        def ring() -> None:
            try:
                loop.call_soon_threadsafe(settle)
            except RuntimeError:  # the loop is closed, and its waiter with it
                pass

        self._alarm = ring
        timer = None
        try:
            if not self._woken:
                if timeout_seconds is not None:
                    timer = loop.call_later(min(timeout_seconds, LONGEST_WAIT_SECONDS), settle)
                await future
        finally:
            self._alarm = None
            if timer is not None:
                timer.cancel()
        woken, self._woken = self._woken, False
        return woken

    def __enter__(self) -> Registration:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._waiters.forget(self)


class Waiters:
    """Everybody in this process who waits for something."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _registered
        self._registered: dict[str, dict[str, list[Registration]]] = {}  # by kind and id

    def register(self, *keys: Key) -> Registration:
        """Start to listen for any of the keys; use as a context manager so that it ends."""
        registration = Registration(self, keys)
        with self._lock:
            for kind, identifier in keys:
                self._registered.setdefault(kind, {}).setdefault(identifier, []).append(registration)
        return registration

    def forget(self, registration: Registration) -> None:
        """The waiter has gone."""
        with self._lock:
            for kind, identifier in registration.keys:
                of_kind = self._registered.get(kind, {})
                others = of_kind.get(identifier, [])
                if registration in others:
                    others.remove(registration)
                    if not others:
                        del of_kind[identifier]

    def wake(self, kind: str, identifier: str) -> bool:
        """Wake everybody who waits for this key; False if nobody does."""
        if identifier not in self._registered.get(kind, ()):  # usually; who registers just now looks for himself
            return False
        with self._lock:
            registrations = tuple(self._registered.get(kind, {}).get(identifier, ()))
        for registration in registrations:
            registration.wake()
        return bool(registrations)

    def wake_all(self) -> None:
        """Wake everybody: something changed, or all is over."""
        with self._lock:
            groups = [group for of_kind in self._registered.values() for group in of_kind.values()]
            registrations = {id(each): each for group in groups for each in group}
        for registration in registrations.values():
            registration.wake()

    def waiting_for(self, kind: str) -> list[str]:
        """The ids of this kind that somebody waits for."""
        with self._lock:
            return list(self._registered.get(kind, ()))

    def anyone_for(self, kind: str) -> bool:
        """Does anybody wait for something of this kind?"""
        return bool(self._registered.get(kind))

    def __bool__(self) -> bool:
        return any(self._registered.values())
