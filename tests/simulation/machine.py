"""The machine: what would be threads of many processes are fibres of one thread, and time is a number.

A fibre runs until it waits for something: for a time, a lock, or a reply of the database. Which one is next is drawn
from the seed, as the time that everything takes. So a seed is a run, and the run can be had again.
"""

from __future__ import annotations

import heapq
import itertools
import random
import traceback
from asyncio import _get_running_loop, _set_running_loop
from collections.abc import Callable
from functools import partial
from hashlib import blake2b

from greenlet import getcurrent, greenlet

EPOCH_MS = 1_800_000_000_000  # of the clocks when a run begins: a Friday in January 2027, 08:00 UTC
SHORTEST_SECONDS = 1e-6  # that a wait takes: less would be lost in rounding, and time stand still
BEGINNING = 1_000.0  # of the monotonic clock, in seconds


class Crashed(BaseException):
    """The process is dead. Not an `Exception`: no code survives a kill."""


class Place:
    """A process, as far as the machine goes: fibres that die together, and stand still together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fibres: list[Fibre] = []  # in the order of their beginning
        self.frozen_until = 0.0  # monotonic: a process that the system does not let run
        self.dying = False
        self.dead = False

    def enter(self) -> None:
        """A fibre of this process is about to run."""


class Fibre:
    """What a process takes for a thread."""

    __slots__ = ("body", "ended", "local", "name", "place", "thread", "ticket")

    def __init__(self, place: Place, name: str) -> None:
        self.place = place
        self.name = name
        self.body: greenlet
        self.ticket = 0  # of its next resumption; earlier ones are void
        self.ended = False
        self.local: dict[object, dict[str, object]] = {}
        self.thread: object = None


class Machine:
    """Runs fibres, one at a time, in the order that a seed gives."""

    def __init__(self, seed: object, disorder: int | None = None) -> None:
        """`disorder`: how many choices are left to the seed; from then on everything is as quick as the rest."""
        self.random = random.Random(f"{seed}")
        self.now = BEGINNING
        self.jumped_ms = 0  # of the clocks that show the time of day
        self.current: Fibre | None = None
        self.deaths: list[str] = []  # of fibres that ended by an exception
        self.choices = 0
        self._disorder = disorder
        self._trace = blake2b(digest_size=16)
        self._hub = getcurrent()
        self._numbers = itertools.count()
        self._heap: list[tuple[float, int, Fibre | Callable[[], object], int]] = []

    # ------------------------------------------------------------ time and chance

    def now_ms(self) -> int:
        """What the clock of the database shows."""
        return EPOCH_MS + self.jumped_ms + int((self.now - BEGINNING) * 1000)

    def until(self, timeout_seconds: float | None) -> float | None:
        """When a wait is over that begins now. It takes a moment however short it is, as looking at a clock does."""
        return None if timeout_seconds is None else self.now + max(timeout_seconds, SHORTEST_SECONDS)

    def moment(self, longest_seconds: float) -> float:
        """How long something takes this time: mostly short, sometimes all of it."""
        self.choices += 1
        if self._disorder is not None and self.choices > self._disorder:
            return longest_seconds / 100
        return longest_seconds * self.random.random() ** 4

    def note(self, *what: object) -> None:
        """Goes into the trace, by which two runs are told apart."""
        self._trace.update(repr((round(self.now * 1e6), what)).encode())

    @property
    def trace(self) -> str:
        """A digest of everything that has been noted."""
        return self._trace.hexdigest()

    # ------------------------------------------------------------ for fibres

    @property
    def fibre(self) -> Fibre:
        """The one that runs."""
        assert self.current is not None, "only fibres may wait"
        return self.current

    def spawn(self, place: Place, name: str, call: Callable[[], object]) -> Fibre:
        """Begin a fibre, soon."""
        if place.dead:
            raise Crashed
        fibre = Fibre(place, name)
        fibre.body = greenlet(partial(self._live, fibre, call), parent=self._hub)
        place.fibres.append(fibre)
        self._at(self.now + self.moment(0.001), fibre)
        return fibre

    def park(self, until: float | None = None) -> None:
        """Stand still until woken, or until the monotonic clock shows `until`. Whoever wakes up looks for himself."""
        fibre = self.fibre
        if fibre.place.dead:
            raise Crashed
        if until is not None:
            self._at(max(until, self.now), fibre)
        loop = _get_running_loop()
        if loop is not None:  # is a matter of the thread, and other fibres share it
            _set_running_loop(None)
        try:
            self._hub.switch()
        finally:
            if loop is not None:
                _set_running_loop(loop)
        if fibre.place.dead:
            raise Crashed

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self.now < until:
            self.park(until)

    def wake(self, fibre: Fibre) -> None:
        """Let a fibre look again, soon."""
        if not fibre.ended:
            self._at(self.now + self.moment(0.0005), fibre)

    def kill(self, place: Place) -> None:
        """End all fibres of a process: now, if one of them asks for it or none runs, else as soon as that lets go."""
        if self.current is None:
            self._bury(place)
        elif self.current.place is place:
            place.dying = True
            self.current.ticket += 1
            self._hub.switch()  # never to come back but by `Crashed`
        else:
            self.call_at(self.now, partial(self._bury, place))

    def call_at(self, moment: float, call: Callable[[], object]) -> None:
        """Have something done in no process, by nobody who could wait: what befalls them from outside."""
        heapq.heappush(self._heap, (moment, next(self._numbers), call, 0))

    # ------------------------------------------------------------ the hub

    def run(self, until: float, done: Callable[[], bool]) -> bool:
        """Let fibres run until it is done (True), or the time is over or nobody ever moves again (False)."""
        heap = self._heap
        while heap:
            at, _, fibre, ticket = heapq.heappop(heap)
            if not isinstance(fibre, Fibre):
                self.now = max(self.now, at)
                fibre()
                continue
            if ticket != fibre.ticket or fibre.ended:
                continue
            if fibre.place.frozen_until > at:
                heapq.heappush(heap, (fibre.place.frozen_until, next(self._numbers), fibre, ticket))
                continue
            if at > until:
                heapq.heappush(heap, (at, next(self._numbers), fibre, ticket))
                return False
            self.now = max(self.now, at)
            fibre.ticket += 1
            self._switch_to(fibre)
            if fibre.place.dying:
                self._bury(fibre.place)
            if done():
                return True
        return False

    def _at(self, moment: float, fibre: Fibre) -> None:
        heapq.heappush(self._heap, (moment, next(self._numbers), fibre, fibre.ticket))

    def _switch_to(self, fibre: Fibre, error: BaseException | None = None) -> None:
        self.current = fibre
        fibre.place.enter()
        try:
            if error is None:
                fibre.body.switch()
            else:
                fibre.body.throw(error)
        finally:
            self.current = None

    def _bury(self, place: Place) -> None:
        """Unwind what is left of a process; whatever it still tries fails at once."""
        if place.dead:
            return
        place.dying, place.dead = False, True
        while place.fibres:
            fibre = place.fibres.pop()
            while not fibre.ended:
                if not fibre.body:  # not begun yet: there is nothing to unwind
                    fibre.ended = True
                else:
                    self._switch_to(fibre, Crashed())

    def _live(self, fibre: Fibre, call: Callable[[], object]) -> None:
        try:
            call()
        except Crashed:
            pass
        except BaseException as error:
            if not fibre.place.dead:
                self.deaths.append(f"{fibre.place.name}/{fibre.name} died: {_told(error)}")
        finally:
            fibre.ended = True
            if fibre in fibre.place.fibres:
                fibre.place.fibres.remove(fibre)


def _told(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({last.filename.rpartition('/')[2]}:{last.lineno})"
