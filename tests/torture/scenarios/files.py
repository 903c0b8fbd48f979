"""What a file does to those who share it: many writers, a full disk, rotten values."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg

from dbos.error import DBOSException
from tests.support.postgres import PostgresCluster, PostgresFailed
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually
from tests.torture.scenario import Run, Skipped, scenario
from tests.torture.scenarios.fleets import CORE
from tests.torture.world import QUIET_SECONDS, World

STEPS = 5


@scenario(faults="F20", invariants=CORE, databases=("sqlite",))
def writers(run: Run) -> None:
    """32 processes write to one SQLite file, and some are killed."""
    world = run.world().prepare()
    executors = [world.start() for _ in range(run.size(6, 32))]
    for number in run.rounds():
        ids: list[str] = []
        for index, worker in enumerate(executors):
            mine = [f"walk-{number}-{index}-{copy}" for copy in range(run.size(2, 10))]
            worker.call(
                "start_many", run.dice.choice(["walk", "walk_async"]), mine, STEPS, timeout_seconds=QUIET_SECONDS
            )
            ids += mine
        world.promise(ids)
        victim = run.dice.randrange(len(executors))
        executors[victim].kill()
        executors[victim].wait()
        executors[victim] = world.start()
        world.settle()
        run.counts.update(workflows=len(ids), kills=1)
    world.verify()
    with world.sql() as sql:
        assert sql("pragma integrity_check") == [("ok",)]


DISK_MEGABYTES = {"sqlite": 32, "postgres": 192}
PAGE = 4_096
SMALL_SERVER = {"min_wal_size": "32MB", "max_wal_size": "48MB", "wal_keep_size": "0"}


@contextmanager
def small_disk(place: Path, megabytes: int) -> Generator[Path]:
    """A file system of its own in memory. Raises Skipped where we may not mount one."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Skipped("there is no `mount` here") from None
    if mounted.returncode != 0:
        raise Skipped(f"may not mount a small file system: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, headroom: int) -> Path:
    """A file that leaves so many bytes free."""
    ballast = place / "ballast"
    room = os.statvfs(place)
    with suppress(OSError), ballast.open("wb") as file:  # others write too, and may have had the rest
        file.write(bytes(max(0, room.f_bavail * room.f_frsize - headroom)))
    return ballast


class SmallDatabase:
    """A database on a disk of its own. That of a server takes the server along when it is full."""

    def __init__(self, run: Run, place: Path, things: ExitStack) -> None:
        self._server: PostgresCluster | None = None
        self.url = f"sqlite:///{place / 'system.sqlite'}"
        if run.scenario.database == "postgres":
            run.directory.chmod(0o755)  # the account of the server goes through it
            self._server = things.enter_context(PostgresCluster(settings=SMALL_SERVER, place=place))
            self.url = self._server.create_database("app")

    def revive(self) -> None:
        """Start a server again that has died of it, as whoever supervises it would."""
        if self._server is not None:
            eventually(self._answers, QUIET_SECONDS)

    def _answers(self) -> bool:
        assert self._server is not None
        try:
            self._server.start()
            run_sql(self.url, "create table if not exists room (made integer)")
        except (psycopg.OperationalError, PostgresFailed):
            return False  # it still recovers, or is about to die
        return True

    def check(self, world: World) -> None:
        """Is it sound?"""
        with world.sql() as sql:
            if self._server is None:
                assert sql("pragma integrity_check") == [("ok",)]
            else:
                for table in ("workflow_status", "operation_outputs"):
                    sql(f"reindex table {table}")


@scenario(faults="F18", invariants=CORE, goals={"fill levels": 200})
def full_disk(run: Run) -> None:
    """The disk fills up at any moment and is emptied again: nothing accepted is lost, and the database is sound."""
    for number in run.rounds():
        with (
            small_disk(run.directory / f"disk-{number}", DISK_MEGABYTES[run.scenario.database]) as place,
            ExitStack() as things,
        ):
            database = SmallDatabase(run, place, things)
            world = things.enter_context(run.world(database.url).prepare())
            executors = [world.start() for _ in range(2)]
            ids: list[str] = []
            for level in range(run.size(3, 8)):
                mine = [f"walk-{number}-{level}-{copy}" for copy in range(6)]
                executors[level % 2].call("start_many", "walk", mine, 10, 2, timeout_seconds=QUIET_SECONDS)
                ids += mine
                world.promise(mine)
                ballast = fill(place, run.dice.randrange(0, 64) * PAGE)
                late = [f"late-{number}-{level}-{copy}" for copy in range(3)]
                accepted = executors[1 - level % 2].begin("start_many", "walk_async", late, 10)
                run.pause(0.02, 0.2)
                if run.dice.randrange(3) == 0:
                    executors[0].kill()
                    executors[0].wait()
                    ballast.unlink()
                    database.revive()
                    executors[0] = world.start()
                    run.counts["kills"] += 1
                ballast.unlink(missing_ok=True)
                database.revive()
                if accepted.exception(QUIET_SECONDS) is None:
                    world.promise(late)
                    ids += late
                run.counts["fill levels"] += 1
            world.settle()
            world.verify()
            database.check(world)
            assert executors[0].call("run", "parcel", f"parcel-{number}", "Ada") == "pack and label for Ada"
            run.counts["workflows"] += len(ids)


ROT = ("", "garbage", "{", '{"a": ', "\x01\x02", "[1, 2", "gASVKAAAAAAAAACMCGJ1aWx0aW5zlIwEZXZhbJSTlC4=", "null")
"""What stands where a value was: truncated, of another kind, or a pickle of somebody else's."""
KINDS = ("an unknown codec", None)


@scenario(faults="F22", invariants="I5 I8")
def rotten_rows(run: Run) -> None:
    """Stored inputs and outputs are overwritten: a typed error for what cannot be read, and no trouble for others."""
    world = run.world().prepare()
    client = world.client()
    client.register_queue("q")
    for number in run.rounds():
        rotten = [f"rotten-{number}-{copy}" for copy in range(len(ROT))]
        healthy = [f"healthy-{number}-{copy}" for copy in range(20)]
        ended = [f"ended-{number}-{copy}" for copy in range(len(ROT))]
        executor = world.start()
        for workflow_id in ended:
            executor.call("run", "parcel", workflow_id, "Ada")
        executor.kill()
        executor.wait()
        client.enqueue_bulk(
            [
                ({"workflow_name": "parcel", "queue_name": "q", "workflow_id": workflow_id}, ("Ada",))
                for workflow_id in run.dice.sample(rotten + healthy, len(rotten + healthy))
            ]
        )
        world.promise(healthy)
        with world.sql() as sql:
            for ids, column in ((rotten, "inputs"), (ended, "output")):
                for workflow_id, garbage in zip(ids, ROT, strict=True):
                    sql(f"update workflow_status set {column} = ? where workflow_uuid = ?", garbage, workflow_id)
                    if run.dice.randrange(2):
                        codec = "update workflow_status set serialization = ? where workflow_uuid = ?"
                        sql(codec, run.dice.choice(KINDS), workflow_id)
        executors = [world.start() for _ in range(2)]
        world.settle(but=rotten)
        assert world.statuses(f"healthy-{number}-%") == {"SUCCESS": len(healthy)}, "I8"
        listed = {each.workflow_id for each in client.list_workflows(workflow_id_prefix=f"rotten-{number}-")}
        assert listed == set(rotten), "a listing failed because of a rotten value"
        for workflow_id in ended:
            assert client.get_workflow_status(workflow_id) is not None
            try:
                client.retrieve_workflow(workflow_id).get_result()
            except DBOSException:
                run.counts["typed errors"] += 1
            else:
                run.counts["read as something else"] += 1
        run.counts.update({"rotten values": len(rotten) + len(ended), "healthy": len(healthy)})
        for worker in executors:
            worker.kill()
            worker.wait()
        with world.sql() as sql:  # nobody needs to look at them in the rounds to come
            for workflow_id in rotten:
                client.cancel_workflow(workflow_id)
            assert sql("select count(*) from workflow_status where completed_at is null") == [(0,)]
