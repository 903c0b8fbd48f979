"""`threading` as the library sees it inside the machine: the same words, for fibres."""

from __future__ import annotations

import itertools
import threading as real
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.simulation.machine import Fibre, Machine


class Lock:
    """A plain lock."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._held = False
        self._waiting: deque[Fibre] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._held:
            if not blocking:
                return False
            machine = self._machine
            until = machine.until(None if timeout < 0 else timeout)
            fibre = machine.fibre
            self._waiting.append(fibre)
            try:
                while self._held:
                    if until is not None and machine.now >= until:
                        return False
                    machine.park(until)
            finally:
                self._waiting.remove(fibre)
        self._held = True
        return True

    def release(self) -> None:
        if not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False
        for fibre in self._waiting:
            self._machine.wake(fibre)

    def locked(self) -> bool:
        return self._held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class RLock:
    """A lock that its holder may take again."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._lock = Lock(machine)
        self._holder: Fibre | None = None
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._depth == 0 or self._holder is not self._machine.current:
            if not self._lock.acquire(blocking, timeout):
                return False
            self._holder = self._machine.current
        self._depth += 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._holder = None
            self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Condition:
    """A lock with a place to wait at."""

    def __init__(self, machine: Machine, lock: Lock | RLock | None = None) -> None:
        self._machine = machine
        self._lock = lock or RLock(machine)
        self._waiting: deque[tuple[Fibre, list[bool]]] = deque()

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        machine = self._machine
        until = machine.until(timeout)
        told: list[bool] = []
        place = machine.fibre, told
        self._waiting.append(place)
        self._lock.release()
        try:
            while not told and (until is None or machine.now < until):
                machine.park(until)
        finally:
            if place in self._waiting:
                self._waiting.remove(place)
            self._lock.acquire()
        return bool(told)

    def notify(self, n: int = 1) -> None:
        while self._waiting and n > 0:
            fibre, told = self._waiting.popleft()
            told.append(True)
            self._machine.wake(fibre)
            n -= 1

    def notify_all(self) -> None:
        self.notify(len(self._waiting))


class Event:
    """A flag to wait for."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._set = False
        self._waiting: list[Fibre] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        for fibre in self._waiting:
            self._machine.wake(fibre)

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        machine = self._machine
        until = machine.until(timeout)
        fibre = machine.fibre
        self._waiting.append(fibre)
        try:
            while not self._set and (until is None or machine.now < until):
                machine.park(until)
        finally:
            self._waiting.remove(fibre)
        return self._set


class Semaphore:
    """Places."""

    def __init__(self, machine: Machine, value: int = 1) -> None:
        self._condition = Condition(machine)
        self._machine = machine
        self._value = value

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        until = self._machine.until(timeout)
        with self._condition:
            while self._value == 0:
                if not blocking or (until is not None and self._machine.now >= until):
                    return False
                self._condition.wait(None if until is None else until - self._machine.now)
            self._value -= 1
            return True

    def release(self) -> None:
        with self._condition:
            self._value += 1
            self._condition.notify()


class Thread:
    """A fibre of the process that starts it."""

    def __init__(
        self,
        machine: Machine,
        target: Callable[..., object] | None = None,
        name: str = "thread",
        args: tuple[Any, ...] = (),
        daemon: bool = False,
    ) -> None:
        self._machine = machine
        self._call = partial(target, *args) if target is not None else self.run
        self.name = name
        self.daemon = daemon
        self._fibre: Fibre | None = None
        self._ended = Event(machine)

    def run(self) -> None:
        """Nothing, without a target."""

    def start(self) -> None:
        self._fibre = self._machine.spawn(self._machine.fibre.place, self.name, self._live)
        self._fibre.thread = self

    def _live(self) -> None:
        try:
            self._call()
        finally:
            self._ended.set()

    def is_alive(self) -> bool:
        return self._fibre is not None and not self._ended.is_set()

    def join(self, timeout: float | None = None) -> None:
        self._ended.wait(timeout)


class Timer(Thread):
    """Calls something later, unless it is cancelled."""

    def __init__(self, machine: Machine, interval: float, function: Callable[[], object]) -> None:
        super().__init__(machine, name="timer")
        self._interval, self._function = interval, function
        self._cancelled = Event(machine)

    def run(self) -> None:
        if not self._cancelled.wait(self._interval):
            self._function()

    def cancel(self) -> None:
        self._cancelled.set()


class Local:
    """Attributes that each fibre has for itself."""

    def __init__(self, machine: Machine) -> None:
        object.__setattr__(self, "_machine", machine)

    def _mine(self) -> dict[str, object]:
        fibre: Fibre = object.__getattribute__(self, "_machine").fibre
        return fibre.local.setdefault(self, {})

    def __getattr__(self, name: str) -> object:
        try:
            return self._mine()[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: object) -> None:
        self._mine()[name] = value


class Threading:
    """Stands where the library expects the module."""

    ExceptHookArgs = real.ExceptHookArgs

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._names = itertools.count(1)
        for kind in (Lock, RLock, Condition, Event, Semaphore, Timer):
            setattr(self, kind.__name__, partial(kind, machine))
        self.local = partial(Local, machine)

    def Thread(
        self,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: tuple[Any, ...] = (),
        daemon: bool = False,
    ) -> Thread:
        return Thread(self._machine, target, name or f"thread-{next(self._names)}", args, daemon)

    def current_thread(self) -> object:
        return self._machine.fibre.thread

    def get_ident(self) -> int:
        return id(self._machine.fibre)

    def excepthook(self, args: real.ExceptHookArgs) -> None:
        self._machine.deaths.append(f"{self._machine.fibre.name} reports {args.exc_value!r}")
