"""What clients do in a world: some of it as a program with a client, some inside of the executors."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from dbos import DBOS, DBOSClient, DebouncerClient, EnqueueOptions, SetWorkflowID, SetWorkflowTimeout
from dbos.error import DBOSException, DBOSQueueDeduplicatedError
from tests.simulation.machine import BEGINNING, Fibre
from tests.simulation.plan import Act
from tests.simulation.program import Failure, expected, function

if TYPE_CHECKING:
    from tests.simulation.process import ExecutorProcess
    from tests.simulation.world import World

FORKED_SECONDS = 3.0  # that a fork may take: some would sleep for a minute
BOUNCE_SECONDS = 0.3, 1.0  # the pause that a debouncer waits for, and how long at most


class Acts:
    """Performs the acts of a plan, and remembers what was promised."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._to_come = len(world.plan.acts)
        self._fibres: list[tuple[Act, Fibre]] = []
        self.accepted: set[str] = set()  # workflows whose start was acknowledged
        self.sent: dict[str, dict[str, Any]] = {}  # workflow -> messages that were acknowledged, by idempotency key
        self.times: dict[str, int] = {}  # of the schedule: created, deleted

    @property
    def all_done(self) -> bool:
        """Has every act come to an end?"""
        return self._to_come == 0 and all(fibre.ended for _, fibre in self._fibres)

    def open(self) -> list[str]:
        """Acts that have not."""
        return [str(act) for act, fibre in self._fibres if not fibre.ended]

    def begin(self) -> None:
        """In the client's process: connect, and let every act have its time."""
        world = self._world
        world.client.connect()
        self._client.register_queue("kept", global_concurrency=2, on_conflict="always_update")
        for act in world.plan.acts:
            world.machine.call_at(BEGINNING + act.at, partial(self._dispatch, act))

    @property
    def _client(self) -> DBOSClient:
        client = self._world.client.client
        assert client is not None
        return client

    def _executor(self, act: Act) -> ExecutorProcess | None:
        number = act.options.get("executor", 0)
        return next((each for each in self._world.executors if each.slot == number and each.serving), None)

    def _dispatch(self, act: Act) -> None:
        """Where it happens: in an executor if it says so and that one serves, else in the client."""
        world = self._world
        inside = self._executor(act) if act.verb in INSIDE and "queue" not in act.options else None
        place = inside or world.client
        call = partial(getattr(self, f"_{act.verb}"), act, inside)
        for twin in range(2 if act.options.get("twice") else 1):
            name = f"act {act.number}" + "'" * twin
            fibre = world.machine.spawn(place, name, partial(self._perform, name, act, call))
            self._fibres.append((act, fibre))
        self._to_come -= 1

    def _perform(self, name: str, act: Act, call: Any) -> None:
        world = self._world
        try:
            call()
        except (DBOSException, Failure) as error:
            world.machine.note(name, type(error).__name__)
        except Exception as error:
            world.auditor.complain(f"{act} raised {error!r}")
        else:
            world.machine.note(name)

    # ------------------------------------------------------------ the verbs

    def _begin(self, act: Act, inside: ExecutorProcess | None) -> None:
        options, world = act.options, self._world
        if act.target in world.auditor.rows:
            world.reached("twins start the same workflow")
        if inside is None:
            self._enqueue(act)
        else:
            with SetWorkflowID(act.target), SetWorkflowTimeout(options.get("timeout")):
                DBOS.start_workflow(function(options["workflow"]), *options["args"])
        self.accepted.add(act.target)

    def _enqueue(self, act: Act) -> None:
        options, auditor = act.options, self._world.auditor
        asked: EnqueueOptions = {
            "workflow_name": options["workflow"],
            "queue_name": options.get("queue", "plain"),
            "workflow_id": act.target,
        }
        for ours, theirs in (
            ("timeout", "workflow_timeout"),
            ("priority", "priority"),
            ("slot", "deduplication_id"),
            ("delay", "delay_seconds"),
            ("partition", "queue_partition_key"),
        ):
            if ours in options:
                asked[theirs] = options[ours]  # type: ignore[literal-required]
        ended = {name for name, row in auditor.rows.items() if row.completed}
        try:
            self._client.enqueue(asked, *options["args"])
        except DBOSQueueDeduplicatedError as refusal:
            self._world.reached("a deduplication id is refused")
            row = auditor.rows.get(refusal.workflow_id)
            if refusal.workflow_id in ended and row is not None and row.completed:
                auditor.complain(f"{act.target} is refused because of {refusal.workflow_id}, which had ended")
            raise

    def _send(self, act: Act, inside: ExecutorProcess | None) -> None:
        message, key = act.options["message"], f"key-{act.number}"
        if inside is None:
            self._client.send(act.target, message, "letters", key)
        else:
            DBOS.send(act.target, message, "letters", idempotency_key=key)
        self.sent.setdefault(act.target, {})[key] = message

    def _cancel(self, act: Act, inside: ExecutorProcess | None) -> None:
        (DBOS if inside is not None else self._client).cancel_workflow(act.target)

    def _resume(self, act: Act, inside: ExecutorProcess | None) -> None:
        (DBOS if inside is not None else self._client).resume_workflow(act.target)

    def _fork(self, act: Act, inside: ExecutorProcess | None) -> None:
        forker = DBOS if inside is not None else self._client
        self.accepted.add(
            forker.fork_workflow(act.target, act.options["step"], timeout_seconds=FORKED_SECONDS).workflow_id
        )

    def _delete(self, act: Act, inside: ExecutorProcess | None) -> None:
        (DBOS if inside is not None else self._client).delete_workflow(act.target)

    def _hurry(self, act: Act, inside: ExecutorProcess | None) -> None:
        row = self._world.auditor.rows.get(act.target)
        self._client.set_workflow_delay(act.target, delay_seconds=0)
        if row is not None and row.status == "DELAYED":
            self._world.reached("a delay is cut short")

    def _await(self, act: Act, inside: ExecutorProcess | None) -> None:
        auditor = self._world.auditor
        value = self._client.retrieve_workflow(act.target).get_result()
        begun = next(each for each in self._world.plan.acts if (each.verb, each.target) == ("begin", act.target))
        wanted = expected(begun.options["workflow"], begun.options["args"])
        if wanted is not None and value not in wanted and not self._world.plan.jumps:
            auditor.complain(f"{act.target} gave {value!r} to whoever waited, which is none of {wanted}")

    def _read(self, act: Act, inside: ExecutorProcess | None) -> None:
        auditor = self._world.auditor
        values = list(self._client.read_stream(act.target, "values"))
        begun = next(each for each in self._world.plan.acts if (each.verb, each.target) == ("begin", act.target))
        if values != list(range(len(values))):
            auditor.complain(f"a reader of {act.target} sees {values}")
        if act.target not in auditor.interfered and len(values) != begun.options["args"][0]:
            auditor.complain(f"a reader of {act.target} sees {len(values)} values only, and then the end")

    def _schedule(self, act: Act, inside: ExecutorProcess | None) -> None:
        self._client.create_schedule(
            schedule_name=act.target, workflow_name="tick", schedule="* * * * * *", automatic_backfill=True
        )

    def _unschedule(self, act: Act, inside: ExecutorProcess | None) -> None:
        self._client.delete_schedule(act.target)

    def _pause(self, act: Act, inside: ExecutorProcess | None) -> None:
        self._client.pause_schedule(act.target)

    def _unpause(self, act: Act, inside: ExecutorProcess | None) -> None:
        self._client.resume_schedule(act.target)

    def _bounce(self, act: Act, inside: ExecutorProcess | None) -> None:
        period, longest = BOUNCE_SECONDS
        before = {name for name, row in self._world.auditor.rows.items() if row.status == "DELAYED"}
        debouncer = DebouncerClient(self._client, {"workflow_name": "bounced"}, debounce_timeout_sec=longest)  # type: ignore[typeddict-item]
        handle = debouncer.debounce("key", period, act.options["value"])
        self.accepted.add(handle.workflow_id)
        if handle.workflow_id in before:
            self._world.reached("a call of a debouncer replaces another")

    def _widen(self, act: Act, inside: ExecutorProcess | None) -> None:
        limit = act.options["concurrency"]
        self._world.auditor.kept_limit = max(limit, self._world.auditor.kept_limit)
        self._client.register_queue("kept", global_concurrency=limit, on_conflict="always_update")


INSIDE = ("begin", "send", "cancel", "resume", "fork", "delete")
"""What executors do as well."""
