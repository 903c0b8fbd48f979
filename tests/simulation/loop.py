"""An event loop that waits as a fibre does."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.simulation.machine import Fibre, Machine

AFTERLIFE_SECONDS = 10.0  # that pass with every look of a loop whose process is dead: all its waits are over


class Loop(asyncio.BaseEventLoop):
    """Its own selector: there are no sockets, only times and calls from other fibres."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.set_exception_handler(lambda loop, context: None)  # what ends with its process tells nobody
        self._machine = machine
        self._selector: Any = self
        self._carrier: Fibre | None = None
        self._nudged = False
        self._afterlife = 0.0

    def time(self) -> float:
        return self._machine.now + self._afterlife

    def select(self, timeout: float | None) -> list[Any]:
        machine = self._machine
        self._carrier = machine.fibre
        if machine.fibre.place.dead:
            self._afterlife += AFTERLIFE_SECONDS
            return []
        until = machine.until(timeout)
        while not self._nudged and (until is None or machine.now < until):
            machine.park(until)
        self._nudged = False
        return []

    def _process_events(self, events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        self._nudged = True
        if self._carrier is not None:
            self._machine.wake(self._carrier)
