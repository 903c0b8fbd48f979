"""A service: one background loop with a name, a stop path and a supervisor.

`poll()` does one round and returns the seconds until the next. A round that fails is logged and tried again with
growing delays; the loop itself never dies. `interrupt()` ends the delay early.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod

from dbos.runtime.engine import Engine
from dbos.runtime.waiters import Registration

logger = logging.getLogger("dbos")

FIRST_RETRY_SECONDS = 0.1
LAST_RETRY_SECONDS = 5.0
NEVER = float("inf")
STOP_SECONDS = 10.0  # how long stopping waits for a round to end


class Service(ABC):
    """One loop on a thread of its own, woken through the waiters by the key ("service", name).

    A service that needs an executor, and not just any engine, says so: `engine: Executor`.
    """

    name: str
    engine: Engine

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.failures = 0  # in a row; 0 means healthy
        self.woken = False  # since the last round that ended well, or did its time just come?
        self._stopping = False
        self._registration: Registration = engine.waiters.register(("service", self.name))
        self._thread = threading.Thread(target=self._run, name=f"dbos-{self.name}", daemon=True)

    @abstractmethod
    def poll(self) -> float | None:
        """Do one round. Returns the seconds until the next; None waits until woken."""

    def due_in_seconds(self) -> float:
        """Until something that it sees to becomes due by itself; infinity if nothing will. Polling is not that."""
        return NEVER

    @property
    def is_asleep(self) -> bool:
        """Is it between two rounds, with nothing to do before its time?"""
        return self._registration.is_asleep

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def dismiss(self) -> None:
        """End after the round that runs."""
        self._stopping = True
        self.interrupt()

    def stop(self) -> None:
        """The same; returns when the thread is gone."""
        self.dismiss()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)
        self.engine.waiters.forget(self._registration)

    def interrupt(self) -> None:
        """End the delay between two rounds; a service whose round blocks ends that as well."""
        self._registration.wake()

    def _run(self) -> None:
        while not self._stopping:
            try:
                delay_seconds = self.poll()
                self.failures, self.woken = 0, False
            except BaseException:  # whatever stored values may raise when they are loaded: the loop never dies
                if self._stopping or self.engine.closed:
                    return
                self.failures += 1
                self.engine.metrics.service_failures.add(self.name)
                delay_seconds = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2**self.failures)
                logger.exception("The %s service failed; it tries again in %.1f s", self.name, delay_seconds)
            if not self._stopping and self._registration.wait(delay_seconds):
                self.woken = True
