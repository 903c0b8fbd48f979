"""What a Postgres server and the network before it do to their clients: crashes, failovers, cuts, delays, silence."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from dbos.error import DBOSNonExistentWorkflowError
from dbos.model.serialization import Serialization
from tests.processes.test_kill_at_commit import EXPECTED
from tests.support.postgres import PostgresCluster
from tests.support.proxy import PostgresProxy
from tests.support.raw_sql import run_sql
from tests.support.replica import REPLICATED, Replica
from tests.support.workers import Worker
from tests.torture.scenario import Run, scenario
from tests.torture.scenarios.fleets import CORE
from tests.torture.world import QUIET_SECONDS, World

END_ALL = (
    "select pg_terminate_backend(pid) from pg_stat_activity"
    " where datname = current_database() and pid <> pg_backend_pid()"
)
WALK = [15, 20]  # steps, and milliseconds that each takes: long enough to be struck
END_ONE = f"{END_ALL} order by random() limit 1"


def start_load(world: World, executors: list[Worker], prefix: str, each: int) -> list[str]:
    """Workflows of both colours, with children and without, on every executor; all of them accepted."""
    ids = []
    for number, worker in enumerate(executors):
        for name, arguments in (
            ("walk", WALK),
            ("walk_async", WALK),
            ("order", ["Ada"]),
            ("order_async", ["Ada"]),
        ):
            mine = [f"{name}-{prefix}-{number}-{copy}" for copy in range(each)]
            worker.call("start_many", name, mine, *arguments, timeout_seconds=QUIET_SECONDS)
            ids += mine
    world.promise(ids)
    return ids


def assert_outcomes(executors: list[Worker], ids: list[str]) -> None:
    """Every handle in every process gives the same, and what a run without harm gives (I4)."""
    answers = [worker.begin("results", ids) for worker in executors]
    first, *others = [answer.result(QUIET_SECONDS) for answer in answers]
    assert all(other == first for other in others), "I4"
    for workflow_id, outcome in zip(ids, first, strict=True):
        name = workflow_id.partition("-")[0]
        assert name not in EXPECTED or outcome == EXPECTED[name], f"{workflow_id}: {outcome}"


@scenario(
    faults="F7 F9", invariants=CORE, databases=("postgres",), share=2, goals={"restarts": 500, "sessions ended": 500}
)
def outages(run: Run) -> None:
    """The server crashes, or ends one session or all of them, at random moments under load."""
    world = run.world().prepare()
    executors = [world.start() for _ in range(run.size(2, 4))]
    for number in run.rounds():
        ids = start_load(world, executors, str(number), run.size(2, 8))
        for _ in range(run.size(3, 6)):
            world.wait_for_steps(run.dice.randint(1, 20))
            kind = run.dice.choice(["restarts", "all sessions ended", "sessions ended"])
            if kind == "restarts":
                run.laboratory.postgres.restart("immediate")
            else:
                run_sql(world.url, END_ALL if kind == "all sessions ended" else END_ONE)
            run.counts[kind] += 1
        world.settle()
        assert_outcomes(executors, ids)
        run.counts["workflows"] += len(ids)
    world.verify()
    with world.sql() as sql:
        assert sql("select max(recovery_attempts) from workflow_status") == [(1,)], "an outage cost somebody its lease"


@scenario(faults="F8", invariants=CORE, databases=("postgres",), share=2, goals={"failovers": 100})
def failover(run: Run) -> None:
    """The primary is killed under load and its synchronous standby takes over, again and again: nothing is lost."""
    _fail_over(run, synchronously=True)


@scenario(faults="F8 F30", invariants="I3 I4 I5 I6", databases=("postgres",))
def lossy_failover(run: Run) -> None:
    """The same with a standby that lags: what it had not heard of is gone, and nothing is stuck or corrupted."""
    _fail_over(run, synchronously=False)


def _fail_over(run: Run, *, synchronously: bool) -> None:
    with ExitStack() as things:
        primary = things.enter_context(PostgresCluster(settings=REPLICATED))
        url = primary.create_database("app")
        proxy = things.enter_context(PostgresProxy(url))
        world = run.world(proxy.url).prepare()
        executors = [world.start(executor_lease_sec=2.0) for _ in range(2)]
        for number in run.rounds():
            standby = things.enter_context(Replica(primary))
            standby.follow(synchronously=synchronously)
            ids = start_load(world, executors, str(number), run.size(2, 8))
            world.wait_for_steps(run.dice.randint(1, 40))
            if not synchronously:
                standby.stop_following()
                ids += start_load(world, executors, f"late{number}", run.size(1, 4))
                world.wait_for_steps(run.dice.randint(1, 10))
            primary.stop("immediate")
            standby.promote()
            proxy.lead_to(standby.url("app"))
            primary.close()
            primary = standby
            world.settle()
            if synchronously:
                assert_outcomes(executors, ids)
            else:
                assert_outcomes(executors, _left_of(run, world, ids))
            run.counts.update(failovers=1, workflows=len(ids))
        world.verify(lossy=not synchronously, counts_attempts=synchronously)
        for worker in executors:
            worker.kill()
            worker.wait()


def _left_of(run: Run, world: World, ids: list[str]) -> list[str]:
    """Those that a lossy failover has left. Whoever lost a child that it had started is told so, and counted."""
    with world.sql() as sql:
        rows = {
            row[0]: row[1:] for row in sql("select workflow_uuid, error, outcome_serialization from workflow_status")
        }
    left = []
    for workflow_id in ids:
        error, codec = rows.get(workflow_id, (None, None))
        if error is not None:
            failure = Serialization().decode_error(error, codec)
            assert isinstance(failure, DBOSNonExistentWorkflowError), f"{workflow_id}: {failure}"
            child = str(failure).rpartition(" ")[2]
            assert child.startswith(f"{workflow_id}-"), f"{workflow_id}: {failure}"
            assert child not in rows, f"{workflow_id}: {failure}"
            run.counts["children lost"] += 1
        elif workflow_id in rows:
            left.append(workflow_id)
        else:
            run.counts["workflows lost"] += 1
    return left


DELAYS = (0.01, 0.02), (0.05, 0.2, 1.0)  # seconds for each round trip: in the reduced form, in the long one


@scenario(faults="F19", invariants=CORE, databases=("postgres",))
def slow_store(run: Run) -> None:
    """Every round trip takes up to a second longer: slower is all it gets, and nobody loses a lease."""
    world = run.world().prepare()
    with PostgresProxy(world.url) as proxy:
        executors = [world.start(url=proxy.url, executor_lease_sec=15.0) for _ in range(2)]
        for number in run.rounds():
            delay = run.dice.choice(DELAYS[run.size(0, 1)])
            proxy.delay(delay)
            ids = start_load(world, executors, str(number), 1)
            world.settle()
            assert_outcomes(executors, ids)
            run.counts.update({"workflows": len(ids), f"rounds at {delay * 1000:.0f} ms": 1})
        proxy.delay(0)
        world.verify()
        with world.sql() as sql:
            assert sql("select max(epoch) from workflow_status") == [(1,)], "a slow store cost somebody its lease"
        for worker in executors:
            worker.kill()
            worker.wait()


@scenario(faults="F6 F29", invariants=f"{CORE} I29 I30 I31 I36", databases=("postgres",), goals={"stalls": 500})
def silence(run: Run) -> None:
    """Notifications are lost, connections cut or stalled, while messages are sent: each arrives once, in order."""
    world = run.world().prepare()
    with PostgresProxy(world.url) as proxy:
        executors = [world.start(url=proxy.url) for _ in range(2)]
        trouble: dict[str, Callable[[], None]] = {
            "notifications dropped": proxy.drop_notifications,
            "all connections cut": proxy.cut_now,
            "stalls": proxy.blackhole,
            "healed": proxy.heal,
        }
        for number in run.rounds():
            count = run.size(3, 10)
            ids = [f"{name}-{number}-{copy}" for name in ("collect", "collect_async") for copy in range(run.size(1, 5))]
            for workflow_id in ids:
                executors[0].call("start", workflow_id.partition("-")[0], workflow_id, count)
            world.promise(ids)
            sent = []
            for place in range(count):
                kind = run.dice.choice(list(trouble))
                trouble[kind]()
                run.counts[kind] += 1
                sent = [executors[1].begin("send", each, place, None, f"{each}-{place}") for each in ids]
                run.pause(0, 0.1)
                proxy.heal()
                for answer in sent:  # in this order: one was accepted before the next is sent
                    answer.result(QUIET_SECONDS)
            world.settle()
            outcomes = executors[1].call("results", ids, timeout_seconds=QUIET_SECONDS)
            assert outcomes == [list(range(count))] * len(ids), f"I29, I30: {outcomes}"
            run.counts["messages"] += count * len(ids)
        world.verify()
        for worker in executors:
            worker.kill()
            worker.wait()


MIGRATION_RACERS = 10


@scenario(faults="F17", invariants="I47", goals={"races": 200})
def migrations(run: Run) -> None:
    """Ten processes launch on an empty database at once and some are killed: each migration is applied once."""
    for _ in run.rounds():
        with run.world() as world:
            racers = [world.spawn() for _ in range(MIGRATION_RACERS)]
            launches = {worker: worker.begin("launch") for worker in racers}
            victims = run.dice.sample(racers, run.dice.randint(0, 4))
            for victim in victims:
                run.pause(0, 0.03)
                victim.kill()
            survivors = [worker for worker in racers if worker not in victims]
            for survivor in survivors:
                launches[survivor].result(QUIET_SECONDS)
            for survivor in survivors:
                assert survivor.call("run", "parcel", f"parcel-{survivor.pid}", "Ada") == "pack and label for Ada"
            with world.sql() as sql:
                versions = [version for (version,) in sql("select version from dbos_migrations order by version")]
            assert versions == list(range(1, len(versions) + 1)), "I47"
        run.counts.update(races=1, racers=MIGRATION_RACERS, kills=len(victims))
