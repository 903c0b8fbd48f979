"""A process of a world: the library as `DBOS.launch` assembles it, or a client, behind a wire of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dbos import DBOSClient, DBOSConfig
from dbos.api import assembly, launched
from dbos.api.configuration import read_config
from dbos.runtime.executor import Executor
from dbos.store.database import Role, Session, StoreSettings
from dbos.store.hints import Hint
from dbos.store.records import (
    Checkpoint,
    CheckpointSend,
    FinishWorkflow,
    ReceiveMessage,
    Record,
    SendMessage,
    StartWorkflow,
)
from tests.simulation.machine import Fibre, Place
from tests.simulation.plan import LEASE_SECONDS, Fault
from tests.simulation.program import program
from tests.simulation.wire import ONE_WAY_SECONDS, LineDatabase, LineHints, Lost

if TYPE_CHECKING:
    from tests.simulation.world import World

URL = "sqlite:////simulated.sqlite"
HINT_SECONDS = 0.02  # at most, until a notification is there

KINDS: tuple[tuple[type[Any] | tuple[type[Any], ...], str], ...] = (
    (StartWorkflow, "a start"),
    ((Checkpoint, CheckpointSend), "a checkpoint"),
    (FinishWorkflow, "an outcome"),
    (SendMessage, "a message"),
    (ReceiveMessage, "a receipt"),
)
REFUSALS: tuple[tuple[type[Any], str], ...] = (
    (Checkpoint, "a checkpoint"),
    (FinishWorkflow, "an outcome"),
)


class Process(Place):
    """One life of a process."""

    def __init__(self, world: World, name: str, host: str, pid: int) -> None:
        super().__init__(name)
        self.world = world
        self.machine = world.machine
        self.instance = name
        self.host = host
        self.pid = pid
        self.deaf_until = 0.0
        self.engine: Executor | None = None
        self.hints: LineHints | None = None
        self.under_way: dict[Fibre, tuple[str, Sequence[Record]]] = {}
        self._faults: dict[Fibre, Fault] = {}

    def enter(self) -> None:
        launched._engine = self.engine

    def prepare(self, settings: StoreSettings) -> tuple[LineDatabase, Session]:
        """What its store opens with: the database and a session of the writer."""
        database = LineDatabase(self.world.disk, self, settings)
        return database, database.connect(Role.WRITER)

    def spread(self, hints: Sequence[Hint]) -> None:
        """Tell the other processes, some time, perhaps."""
        machine = self.machine
        for other in self.world.processes:
            if other is self or other.dead or other.hints is None:
                continue
            if other.deaf_until > machine.now:
                self.world.reached("a hint is lost")
                continue
            machine.call_at(machine.now + machine.moment(HINT_SECONDS), partial(other.hints.arrive, hints))

    # ------------------------------------------------------------ requests

    def request(self, name: str, records: Sequence[Record]) -> None:
        """Something is asked of the database. Raises `Lost` if it never arrives."""
        machine, world, fibre = self.machine, self.world, self.machine.fibre
        machine.note(self.name, name)
        fault = world.fault_at_request(self, name)
        self.under_way[fibre] = name, records
        try:
            machine.sleep(machine.moment(ONE_WAY_SECONDS))
            match fault.kind if fault is not None else None:
                case "delay":
                    machine.sleep(fault.lasts)  # type: ignore[union-attr]
                case "crash before":
                    self._tell("a crash before {} arrives", records)
                    if self.engine is None:
                        world.reached("a crash while launching")
                    world.crash(self, fault.lasts)  # type: ignore[union-attr]
                case "lose request":
                    world.reached("a request is lost on its way")
                    raise Lost("the connection was lost")
        finally:
            del self.under_way[fibre]
        if fault is not None:
            self._faults[fibre] = fault

    def reply(self, name: str, records: Sequence[Record], values: Mapping[str, object], answer: Sequence[Any]) -> None:
        """What was asked is done. Raises `Lost` if the answer never arrives."""
        machine, world = self.machine, self.world
        fault = self._faults.pop(machine.fibre, None) or world.fault_at_reply(self)
        if records:
            self._look(records, answer)
        if fault is not None and fault.kind == "crash after":
            self._tell("a crash after {}", records)
            world.crash(self, fault.lasts)
        if fault is not None and fault.kind == "lose reply":
            self._tell("the reply to {} is lost", records)
            raise Lost("the connection was lost")
        machine.sleep(machine.moment(ONE_WAY_SECONDS))

    def _tell(self, pattern: str, records: Sequence[Record]) -> None:
        found = {word for kind, word in KINDS if any(isinstance(record, kind) for record in records)}
        if "arrives" not in pattern:
            names = {"claimed": "a claim", "adopted": "an adoption", "ticked": "a tick"}
            found |= {names[tag] for tag in self.world.auditor.tags if tag in names}
        for word in sorted(found):
            self.world.reached.if_named(pattern.format(word))

    def _look(self, records: Sequence[Record], results: Sequence[Any]) -> None:
        """What became of the records of a batch?"""
        world, rows = self.world, self.world.auditor.rows
        if len({record[0] for record in records}) > 1:
            world.reached("several callers share a batch")
        for record, result in zip(records, results, strict=True):
            if isinstance(record, StartWorkflow):
                born_ms = world.auditor.born_ms.get(record.workflow_id)
                if record.workflow_id.startswith("sched-") and born_ms not in (None, self.machine.now_ms()):
                    world.reached("two schedulers meet at a tick")
            if result is not None:
                continue
            row = rows.get(record[0])
            for kind, word in REFUSALS:
                if row is not None and isinstance(record, kind) and record.epoch < row.epoch:
                    if row.status != "CANCELLED":
                        world.reached(f"{word} of a zombie is refused")
                    elif word == "a checkpoint":
                        world.reached("a checkpoint of a cancelled workflow is refused")


class ExecutorProcess(Process):
    """Runs workflows."""

    def __init__(self, world: World, slot: int, life: int, host: str, pid: int) -> None:
        super().__init__(world, f"executor-{slot}.{life}", host, pid)
        self.slot = slot
        self.running: assembly.Running | None = None

    @property
    def serving(self) -> bool:
        """Is it launched, and not about to end?"""
        return self.running is not None and not self.dead and self.instance not in self.world.stopped

    def launch(self) -> None:
        """As `DBOS.launch` does."""
        config: DBOSConfig = {
            "name": "simulated",
            "system_database_url": URL,
            "executor_id": f"executor-{self.slot}",
            "executor_lease_sec": LEASE_SECONDS,
            "notification_listener_polling_interval_sec": 1.0,
            "scheduler_polling_interval_sec": 2.0,
        }
        running = assembly.launch(read_config(config, {}), program(), "v1", self.instance)
        self.engine = running.engine
        launched._engine = self.engine
        running.start()
        self.running = running

    def stop(self) -> None:
        """As `DBOS.destroy` does; then the process ends."""
        assert self.running is not None
        self.world.stopped.add(self.instance)
        self.running.stop(0)


class ClientProcess(Process):
    """Asks, and runs nothing."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "client", "host-9", 9)
        self.client: DBOSClient | None = None

    def connect(self) -> None:
        """As a program does that has a client."""
        self.client = DBOSClient(system_database_url=URL, application_name="simulated")
