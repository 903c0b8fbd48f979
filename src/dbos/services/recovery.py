"""Leases: renew ours, find executors that are dead, and adopt the workflows they left.

No control plane: any live executor of the same application and version does it, for whatever it can run. On this host
a process that is gone is dead at once; elsewhere an executor is dead when its lease is over. The epoch that each
adoption raises keeps a zombie from writing anything more.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence

from dbos.model.workflow import Status
from dbos.runtime.claimed import run_claimed
from dbos.runtime.executor import Executor
from dbos.services.service import Service
from dbos.store.executors import Lease

logger = logging.getLogger("dbos")

BATCH = 200  # workflows adopted by one statement
RENEWALS_PER_LEASE = 3
UNKNOWN_START = ""
PRUNE_SECONDS = 3600.0  # between two looks for executors to forget
SWEEP_SECONDS = 1.0  # at most this long between two looks at the others
SUSPENSION_SECONDS = 1.0  # so much that went by unnoticed


def host_identity() -> str:
    """Names the set of processes among which a process id means something: host, boot and pid namespace."""
    parts = [os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")]
    try:
        parts.append(_read("/proc/sys/kernel/random/boot_id").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:  # not Linux: the name alone
        pass
    return " ".join(parts)


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def process_start(pid: int) -> str | None:
    """When a process of this host started, in the kernel's own count; None if there is no such process.

    Together with the id it names a process for good: ids are reused. "" if the kernel does not tell: it may be any.
    """
    try:
        text = _read(f"/proc/{pid}/stat")
    except OSError:  # no /proc, no such process, or one of another user that /proc hides
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except OSError:
            pass
        return UNKNOWN_START
    state, *fields = text.rpartition(")")[2].split()
    return None if state == "Z" else fields[18]


class Recovery(Service):
    """Heartbeat of this executor, and heir of the dead ones."""

    name = "recovery"
    engine: Executor

    def __init__(self, engine: Executor, lease_seconds: float) -> None:
        super().__init__(engine)
        self._lease_seconds = lease_seconds
        self._host = host_identity()
        self._renewed_at = float("-inf")
        self._pruned_at = float("-inf")
        self._drift = time.time() - time.monotonic()
        self._heir = True  # adopts; not any more once this executor prepares to end
        self.known_dead: Sequence[str] = ()  # whose end the database may not have noticed
        self._unowned: dict[str, float] = {}  # rows of ours that nobody here runs -> since when
        self._reported: set[str] = set()

    def register(self) -> None:
        """Announce this executor: from here on its workflows are its own while it lives."""
        pid = os.getpid()
        owner, started = self.engine.owner, process_start(pid) or ""
        lease = Lease(self._lease_seconds, time.monotonic())
        self.engine.store.executors.register(owner, self._host, pid, started, lease.seconds)
        self.engine.lease = lease

    def poll(self) -> float:
        """One round: look for the dead and adopt; now and then also renew our own lease and see to our own rows."""
        interval_seconds = self._lease_seconds / RENEWALS_PER_LEASE
        renew = self._was_suspended() or time.monotonic() - self._renewed_at >= interval_seconds
        if renew:
            self._renew()
        more = False
        if self._heir:
            more = self._find_the_dead() and self._adopt()
            if renew:
                self._readopt_our_own()
                self._report_unrunnable()
        return 0.0 if more else min(SWEEP_SECONDS, interval_seconds)

    def stop_adopting(self) -> None:
        """Take on nothing more; keep the lease."""
        self._heir = False

    def _renew(self) -> None:
        lease = Lease(self._lease_seconds, time.monotonic())
        if self.engine.store.executors.renew(self.engine.owner.instance, lease.seconds):
            self.engine.lease = lease
        else:
            self.register()
        self._renewed_at = time.monotonic()
        if self.engine.clock.synchronise():
            self.engine.waiters.wake_all()
        if self._renewed_at - self._pruned_at >= PRUNE_SECONDS:
            self.engine.store.executors.prune()
            self._pruned_at = self._renewed_at

    def _was_suspended(self) -> bool:
        """Has the monotonic clock stood still, with the machine? The wall clock tells. (If it was set: no harm.)"""
        before, self._drift = self._drift, time.time() - time.monotonic()
        return abs(self._drift - before) > SUSPENSION_SECONDS

    def _find_the_dead(self) -> bool:
        """Declare dead whose process is gone on this host. Did any dead executor, of wherever, leave something?"""
        executors = self.engine.store.executors
        living, leaves_something = executors.look_around(self._host)
        dead = [
            instance
            for instance, pid, started in living
            if instance != self.engine.owner.instance and process_start(pid) not in (started, UNKNOWN_START)
        ]
        dead += self.known_dead
        executors.declare_dead(dead)
        self.known_dead = ()
        return leaves_something or bool(dead)

    def _adopt(self) -> bool:
        """Take over a batch of what dead executors left, and run it. Is there more? (Our lease comes first again.)"""
        engine = self.engine
        rows = engine.store.workflows.adopt(engine.owner, engine.registry.runnable(), BATCH)
        recovered = run_claimed(engine, rows)
        engine.queue_changed(None)  # what came from queues went back there
        if recovered:
            logger.info("Recovering workflows of executors that are gone: %d", len(recovered))
        return len(rows) >= BATCH

    def _report_unrunnable(self) -> None:
        """Tell, once each, of workflows that wait for a function nobody registered here."""
        engine = self.engine
        for row in engine.store.workflows.unrunnable(engine.owner, engine.registry.runnable(), BATCH):
            if row.workflow_uuid not in self._reported:
                self._reported.add(row.workflow_uuid)
                logger.error(
                    "DBOS Error 4: workflow %s stays %s: its function '%s' is not registered here",
                    row.workflow_uuid,
                    row.status,
                    row.name,
                )

        for version, count in engine.store.workflows.of_other_versions(engine.owner):
            if version not in self._reported:
                self._reported.add(version)
                logger.warning(
                    "%d unfinished workflows belong to version %s of this application and wait for an executor of it; "
                    "this one has version %s",
                    count,
                    version,
                    engine.owner.application_version,
                )

    def _readopt_our_own(self) -> None:
        """Rows we own but do not run, for a whole lease: a start whose reply was lost, or a cancelled asyncio task."""
        engine = self.engine
        engine.end_stranded()
        now = time.monotonic()
        owned = engine.store.workflows.owned_by(engine.owner.instance)
        active = engine.active()
        idle = [each for each, epoch in owned if each not in active and engine.set_aside.get(each) != epoch]
        self._unowned = {each: self._unowned.get(each, now) for each in idle}
        overdue = [each for each, since in self._unowned.items() if now - since >= self._lease_seconds]
        if overdue:
            run_claimed(engine, engine.store.workflows.adopt_orphans(engine.owner, overdue))

    def retire(self) -> None:
        """This executor ends gracefully: whoever lives may adopt what it leaves at once."""
        self.engine.store.executors.retire(self.engine.owner.instance)


def take_over(engine: Executor, executor_ids: list[str]) -> list[str]:
    """Take over the unfinished workflows of the named executors at once, live lease or not; returns their ids.

    Attempts of them that still run, here or elsewhere, are superseded: the raised epoch fences them.
    """
    rows = engine.store.workflows.take_over(engine.owner, executor_ids, engine.registry.runnable(), BATCH)
    for row in rows:
        before = engine.attempt_of(row.workflow_uuid)
        if before is not None:
            before.revoke(Status.PENDING)
    taken = []
    for start in range(0, len(rows), BATCH):
        taken += run_claimed(engine, rows[start : start + BATCH])
    return taken
