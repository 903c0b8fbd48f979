"""First come, first served, also when somebody leaves the line."""

from __future__ import annotations

import threading

import pytest

from dbos.store.fairlock import FairLock, FairPlaces
from tests.support.waiting import eventually


def test_it_excludes_and_is_free_afterwards() -> None:
    lock = FairLock()
    assert lock.try_acquire()
    assert not lock.try_acquire()
    lock.release()
    with lock:
        assert not lock.try_acquire()
    assert lock.try_acquire()


def test_waiters_are_served_in_the_order_of_arrival() -> None:
    lock, served = FairLock(), list[int]()

    def wait(number: int) -> None:
        with lock:
            served.append(number)

    lock.acquire()
    threads = []
    for number in range(10):
        thread = threading.Thread(target=wait, args=(number,))
        thread.start()
        threads.append(thread)
        eventually(lambda number=number: len(lock._waiting) == number + 1)
    lock.release()
    assert not lock.try_acquire() or served == list(range(10))  # it was handed over, not dropped
    for thread in threads:
        thread.join()
    assert served == list(range(10))


def test_nobody_passes_those_who_wait_for_one_of_several_places() -> None:
    places = FairPlaces(2)
    assert [places.acquire(), places.acquire(), places.try_acquire()] == [True, True, False]
    waiter = threading.Thread(target=places.acquire)
    waiter.start()
    eventually(lambda: places._waiting)
    places.release()
    assert not places.try_acquire()
    waiter.join()
    assert not places.acquire(0.0)
    assert not places._waiting
    places.release()
    assert places.acquire(0.0)


class Interruption(BaseException):
    """Stands for KeyboardInterrupt, in a thread of the test."""


class InterruptibleGate:
    """A gate whose waiting ends by an exception, as a signal ends it on the main thread."""

    def __init__(self) -> None:
        self.calls = 0

    def acquire(self) -> bool:
        self.calls += 1
        if self.calls == 1:
            return True  # closing it
        raise Interruption

    def release(self) -> None:
        pass


@pytest.mark.parametrize("handed_over", [False, True])
def test_whoever_is_interrupted_leaves_the_line_or_passes_the_lock_on(
    monkeypatch: pytest.MonkeyPatch, handed_over: bool
) -> None:
    lock = FairLock()
    lock.acquire()
    gate = InterruptibleGate()
    if handed_over:  # the holder releases in the very moment of the interruption
        original = gate.acquire

        def acquire() -> bool:
            if gate.calls == 1:
                lock.release()
            return original()

        gate.acquire = acquire
    monkeypatch.setattr("dbos.store.fairlock.threading.Lock", lambda: gate)
    with pytest.raises(Interruption):
        lock.acquire()
    assert not lock._waiting
    if not handed_over:
        lock.release()
    assert lock.try_acquire()
