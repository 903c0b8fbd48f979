"""A world: executors, a client and a database, on one machine, and what befalls them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from functools import partial

from dbos.services.recovery import take_over
from dbos.store.records import FinishWorkflow
from tests.simulation import seams
from tests.simulation.acts import Acts
from tests.simulation.auditor import Auditor
from tests.simulation.disk import the_disk
from tests.simulation.machine import BEGINNING, Machine
from tests.simulation.oracle import verdict
from tests.simulation.plan import AT_REQUESTS, HOSTS, QUIET_AT_SECONDS, Fault, Plan
from tests.simulation.process import ClientProcess, ExecutorProcess, Process
from tests.simulation.program import STAGE
from tests.simulation.reached import Reached

LONGEST_SECONDS = 60.0  # after the last fault: by then everything has ended
RESTART_SECONDS = 0.05


class World:
    """Plays a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.machine = Machine(f"schedule {plan.seed}", plan.disorder)
        self.disk = the_disk()
        self.reached = Reached()
        self.auditor = Auditor(self)
        self.processes: list[Process] = []
        self.stopped: set[str] = set()  # instances that ended in an orderly way
        self.disowned: set[str] = set()  # executors whose workflows somebody took by name
        self.troubles: list[str] = []
        self._requests: Counter[tuple[int, str]] = Counter()  # by executor, and by what they are about
        self._lives: Counter[int] = Counter()
        self._crashes: Counter[int] = Counter()
        self._at_requests = {(f.executor, f.about, int(f.at)): f for f in plan.faults if f.kind in AT_REQUESTS}
        self._world_is_quiet = False
        self.client = ClientProcess(self)
        self.acts = Acts(self)

    # ------------------------------------------------------------ what others want to know

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self.machine.now - BEGINNING

    @property
    def actor(self) -> Process:
        """Whose turn it is."""
        place = self.machine.fibre.place
        assert isinstance(place, Process)
        return place

    @property
    def executors(self) -> list[ExecutorProcess]:
        """Those that live."""
        return [each for each in self.processes if isinstance(each, ExecutorProcess) and not each.dead]

    def start_of(self, asking: Process, pid: int) -> str | None:
        """When the process of this number on the host of the one that asks began; None if there is none."""
        return next(
            (each.instance for each in self.processes if (each.host, each.pid, each.dead) == (asking.host, pid, False)),
            None,
        )

    def lives(self, instance: str) -> bool:
        """Does this process live, and means to?"""
        return instance not in self.stopped and any(each.instance == instance for each in self.executors)

    def running(self, workflow_id: str) -> list[int]:
        """The epochs of the attempts of a workflow that run somewhere."""
        engines = [each.engine for each in self.executors if each.engine is not None]
        attempts = [engine._active.get(workflow_id) for engine in engines]
        return [attempt.epoch for attempt in attempts if attempt is not None]

    def in_flight(self, workflow_id: str, epoch: int) -> bool:
        """Is something that this attempt writes on its way?"""
        return any(
            record[0] == workflow_id and getattr(record, "epoch", None) == epoch
            for process in self.processes
            for _, records in process.under_way.values()
            for record in records
        )

    def finishing(self, workflow_id: str) -> bool:
        """Is its outcome on its way?"""
        return any(
            isinstance(record, FinishWorkflow) and record.workflow_id == workflow_id
            for process in self.processes
            for _, records in process.under_way.values()
            for record in records
        )

    def asked(self, verb: str, workflow_id: str | None) -> bool:
        """Does anybody do this to a workflow?"""
        return any((act.verb, act.target) == (verb, workflow_id) for act in self.plan.acts)

    def step_begins(self, workflow_id: str, number: int, epoch: int) -> None:
        """The body of a step begins. Was that necessary?"""
        recorded = self.auditor.steps.get((workflow_id, number))
        if recorded is not None and recorded <= epoch and workflow_id not in self.auditor.interfered:
            self.auditor.complain(f"step {number} of {workflow_id} runs in epoch {epoch}, recorded in {recorded}")
        row = self.auditor.rows.get(workflow_id)
        if row is not None and epoch < row.epoch:
            self.reached("a zombie begins a step")
        if len(self.running(workflow_id)) > 1:
            self.reached("a workflow runs in two processes at once")
        if epoch > 1 and number > 1 and (workflow_id, 1) in self.auditor.steps:
            self.reached("a replay goes on in the middle")
        self.machine.note("step", workflow_id, number, epoch)

    # ------------------------------------------------------------ what befalls

    def fault_at_request(self, process: Process, name: str) -> Fault | None:
        """What goes wrong with the next request of a process."""
        return self._fault(process, ("", *name.split("+")))

    def fault_at_reply(self, process: Process) -> Fault | None:
        """What goes wrong with the reply that is about to be sent."""
        return self._fault(process, sorted(self.auditor.tags))

    def _fault(self, process: Process, subjects: Sequence[str]) -> Fault | None:
        found = None
        if isinstance(process, ExecutorProcess) and self._at_requests:
            for about in subjects:
                self._requests[process.slot, about] += 1
                number = self._requests[process.slot, about]
                found = self._at_requests.pop((process.slot, about, number), None) or found
        return found

    def crash(self, process: ExecutorProcess | Process, downtime_seconds: float) -> None:
        """Kill a process; another one takes its place after a while."""
        assert isinstance(process, ExecutorProcess)
        if process.dead:
            return
        self._crashes[process.slot] += 1
        if self._crashes[process.slot] > 1:
            self.reached("an executor crashes twice")
        self._end(process, downtime_seconds)

    def _end(self, process: ExecutorProcess, downtime_seconds: float) -> None:
        if process.engine is not None:
            process.engine.closed = True
        self.machine.note("ends", process.name)
        self.machine.call_at(self.machine.now + downtime_seconds, partial(self._launch, process.slot))
        if self.executors == [process]:
            self.reached("no executor lives")
        self.machine.kill(process)

    def _launch(self, slot: int) -> None:
        life = self._lives[slot]
        self._lives[slot] += 1
        process = ExecutorProcess(self, slot, life, HOSTS[slot], 100 * (slot + 1) + life)
        self.processes.append(process)
        self.machine.spawn(process, "main", process.launch)

    def _strike(self, fault: Fault) -> None:
        """A fault that comes at a time."""
        machine = self.machine
        if fault.kind == "jump":
            machine.jumped_ms += round(fault.size * 1000)
            self.reached("a clock jumps forward" if fault.size > 0 else "a clock jumps back")
            return
        process = next((each for each in self.executors if each.slot == fault.executor), None)
        if process is None:
            return
        match fault.kind:
            case "freeze":
                process.frozen_until = machine.now + fault.lasts
                machine.call_at(process.frozen_until, partial(self._thawed, process))
            case "deafen":
                process.deaf_until = machine.now + fault.lasts
            case "stop" if process.serving:
                machine.spawn(process, "stop", partial(self._stop, process, fault.lasts))
            case "disown":
                others = [each for each in self.executors if each is not process and each.serving]
                if others and process.serving:
                    executor_id = f"executor-{process.slot}"
                    self.disowned.add(executor_id)
                    engine = others[0].engine
                    machine.spawn(others[0], "disown", lambda: take_over(engine, [executor_id]))

    def _thawed(self, process: ExecutorProcess) -> None:
        _, until_ms = self.auditor.leases.get(process.instance, ("", 0))
        if not process.dead and until_ms < self.machine.now_ms():
            self.reached("a process wakes up after its lease")

    def _stop(self, process: ExecutorProcess, downtime_seconds: float) -> None:
        process.stop()
        self.machine.sleep(0.1)  # in which threads that were told to end do so
        left = [each.name for each in process.fibres if not each.name.startswith(("dbos-worker", "stop", "act"))]
        if left:
            self.troubles.append(f"{process.name} has stopped and left running: {', '.join(left)}")
        self._end(process, downtime_seconds)

    # ------------------------------------------------------------ playing

    def play(self) -> list[str]:
        """Let everything happen; what went wrong with the library."""
        machine, plan = self.machine, self.plan
        log = logging.getLogger("dbos")
        handler = _Listening(self.troubles)
        before = STAGE.world, log.handlers, log.level, log.propagate
        STAGE.world = self
        log.handlers, log.propagate = [handler], False
        log.setLevel(logging.ERROR)
        try:
            with seams.installed(machine):
                self.disk.serve(machine.now_ms, self.auditor.commit)
                self.processes.append(self.client)
                machine.spawn(self.client, "main", self.acts.begin)
                for slot in range(plan.executors):
                    machine.call_at(machine.now + slot * 0.01, partial(self._launch, slot))
                ends = [QUIET_AT_SECONDS]
                for fault in plan.faults:
                    if fault.kind not in AT_REQUESTS:
                        machine.call_at(BEGINNING + fault.at, partial(self._strike, fault))
                        ends.append(fault.at + fault.lasts)
                quiet_at = BEGINNING + max(ends)
                ended = machine.run(quiet_at + LONGEST_SECONDS, lambda: machine.now >= quiet_at and self._at_rest())
                found = verdict(self, ended)
                for process in self.processes:
                    if isinstance(process, ExecutorProcess) and process.engine is not None:
                        process.engine.closed = True
                    machine.kill(process)
            return found
        finally:
            STAGE.world, log.handlers, log.level, log.propagate = before  # type: ignore[assignment]

    def _at_rest(self) -> bool:
        return self.auditor.unfinished == 0 and self.acts.all_done


class _Listening(logging.Handler):
    """A service that fails is heard of by its message alone."""

    def __init__(self, troubles: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._troubles = troubles

    def emit(self, record: logging.LogRecord) -> None:
        if "service failed" in str(record.msg) or "cannot be run" in str(record.msg):
            error = record.exc_info[1] if record.exc_info else None
            self._troubles.append(f"logged: {record.getMessage()}: {error!r}")
