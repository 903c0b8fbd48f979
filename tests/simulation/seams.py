"""Where a world takes the place of this one: the modules that the library asks for threads, time and chance.

The library imports them as modules, so that other ones can stand there for as long as a world lasts. All else is the
library as it is: its journal, its services, its hosts of user code.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from dbos import lazy
from dbos.api import launched
from dbos.runtime import hosts
from dbos.services import recovery
from dbos.store import store as store_module
from tests.simulation.loop import Loop
from tests.simulation.machine import Machine
from tests.simulation.threads import Local, Threading

if TYPE_CHECKING:
    from tests.simulation.process import Process

APART = ("dbos.testing", "dbos.cli", "dbos.admin", "dbos.telemetry")  # no world reaches them


class Proxy:
    """A module with some of its names replaced."""

    def __init__(self, module: ModuleType, **names: Any) -> None:
        self.__dict__.update(names)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def replacements(machine: Machine) -> dict[ModuleType, object]:
    """What stands for which module."""
    chance = random.Random(f"chance {machine.random.random()}")
    return {
        threading: Threading(machine),
        time: SimpleNamespace(
            monotonic=lambda: machine.now,
            perf_counter=lambda: machine.now,
            time=lambda: machine.now_ms() / 1000,
            time_ns=lambda: machine.now_ms() * 1_000_000,
            sleep=machine.sleep,
        ),
        random: Proxy(
            random,
            uniform=chance.uniform,
            shuffle=chance.shuffle,
            random=chance.random,
            SystemRandom=lambda: chance,
        ),
        os: Proxy(os, urandom=chance.randbytes, getpid=lambda: id_of(machine)),
        uuid: Proxy(uuid, uuid4=lambda: uuid.UUID(int=chance.getrandbits(128), version=4)),
    }


def id_of(machine: Machine) -> int:
    """Of the process that runs."""
    process: Any = machine.fibre.place
    pid: int = process.pid
    return pid


@contextmanager
def installed(machine: Machine) -> Iterator[None]:
    """The library runs in the world of this machine."""
    put: list[tuple[Any, str, object]] = []

    def put_there(place: Any, name: str, value: object) -> None:
        put.append((place, name, getattr(place, name)))
        setattr(place, name, value)

    stand_ins: dict[int, object] = {}
    for module, other in replacements(machine).items():
        stand_ins[id(module)] = stand_ins[id(vars(lazy).get(module.__name__, module))] = other
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "dbos" and not name.startswith(APART):
            for attribute in ("threading", "time", "random", "os", "uuid"):
                there = vars(module).get(attribute)
                if id(there) in stand_ins:
                    put_there(module, attribute, stand_ins[id(there)])

    def here() -> Process:
        process: Any = machine.fibre.place
        return process

    put_there(hosts, "asyncio", Proxy(asyncio, new_event_loop=lambda: Loop(machine), set_event_loop=lambda loop: None))
    put_there(hosts, "_mine", Local(machine))
    put_there(recovery, "host_identity", lambda: here().host)
    put_there(recovery, "process_start", lambda pid: here().world.start_of(here(), pid))
    put_there(store_module, "_lifecycle", lambda settings: SimpleNamespace(prepare=lambda s: here().prepare(s)))
    put_there(launched, "_engine", None)
    log = logging.getLogger("dbos")
    level, propagate = log.level, log.propagate
    try:
        yield
    finally:
        log.setLevel(level)
        log.propagate = propagate
        for place, name, value in reversed(put):
            setattr(place, name, value)
