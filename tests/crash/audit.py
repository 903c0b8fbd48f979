"""The auditor: triggers in the test's database write down every change of a workflow and of a checkpoint.

They see what a test that looks at the end cannot: a status that flipped and flipped back, an outcome written twice, a
checkpoint that changed. `violations` reads the log against the rules of the state machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from dbos.model.stream import CLOSED_TEXT
from tests.support.raw_sql import Sql

TRANSITIONS = {
    None: {"PENDING", "ENQUEUED", "DELAYED"},
    "DELAYED": {"ENQUEUED", "CANCELLED"},
    "ENQUEUED": {"PENDING", "CANCELLED", "ENQUEUED"},
    "PENDING": {"PENDING", "ENQUEUED", "SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"},
    "ERROR": {"ENQUEUED"},
    "CANCELLED": {"ENQUEUED"},
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": {"ENQUEUED", "CANCELLED"},
    "SUCCESS": set(),
}
FINISHED = {"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}
KEEP_THE_EPOCH = {"SUCCESS", "ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}  # written by the owner itself

# What they saw of streams: each value as it came, in order. (Its payload tells the end of a stream from its values.)
STREAM_COLUMNS = "workflow_uuid, key, place, value"

COLUMNS = "workflow_uuid, old_status, new_status, old_epoch, new_epoch, old_outcome, new_outcome, completed"
OUTCOME = "coalesce({0}.output, '-') || '/' || coalesce({0}.error, '-')"

SQLITE = (
    "create table audit (number integer primary key, workflow_uuid text, old_status text, new_status text,"
    " old_epoch integer, new_epoch integer, old_outcome text, new_outcome text, completed integer)",
    "create table audit_steps (workflow_uuid text, function_id integer, event text)",
    f"create trigger audit_start after insert on workflow_status begin insert into audit ({COLUMNS}) values"
    f" (new.workflow_uuid, null, new.status, null, new.epoch, '-/-', {OUTCOME.format('new')},"
    " new.completed_at is not null); end",
    f"create trigger audit_change after update on workflow_status begin insert into audit ({COLUMNS}) values"
    f" (new.workflow_uuid, old.status, new.status, old.epoch, new.epoch, {OUTCOME.format('old')},"
    f" {OUTCOME.format('new')}, new.completed_at is not null); end",
    "create trigger audit_step after update on operation_outputs begin"
    " insert into audit_steps values (old.workflow_uuid, old.function_id, 'changed'); end",
    "create trigger audit_loss after delete on operation_outputs begin"
    " insert into audit_steps values (old.workflow_uuid, old.function_id, 'deleted'); end",
    "create table audit_streams (number integer primary key, workflow_uuid text, key text, place integer, value text)",
    f"create trigger audit_value after insert on streams begin insert into audit_streams ({STREAM_COLUMNS})"
    ' values (new.workflow_uuid, new.key, new."offset", new.value); end',
    f"create trigger audit_value_change after update on streams begin insert into audit_streams ({STREAM_COLUMNS})"
    " values (old.workflow_uuid, old.key, -1, 'changed'); end",
    f"create trigger audit_value_loss after delete on streams begin insert into audit_streams ({STREAM_COLUMNS})"
    " values (old.workflow_uuid, old.key, -1, 'deleted'); end",
)

POSTGRES = (
    "create table audit (number bigserial primary key, workflow_uuid text, old_status text, new_status text,"
    " old_epoch bigint, new_epoch bigint, old_outcome text, new_outcome text, completed boolean)",
    "create table audit_steps (workflow_uuid text, function_id bigint, event text)",
    "create function audit_start() returns trigger language plpgsql as $$ begin"
    f" insert into dbos.audit ({COLUMNS}) values (new.workflow_uuid, null, new.status, null, new.epoch, '-/-',"
    f" {OUTCOME.format('new')}, new.completed_at is not null); return null; end $$",
    "create function audit_change() returns trigger language plpgsql as $$ begin"
    f" insert into dbos.audit ({COLUMNS}) values (new.workflow_uuid, old.status, new.status, old.epoch, new.epoch,"
    f" {OUTCOME.format('old')}, {OUTCOME.format('new')}, new.completed_at is not null); return null; end $$",
    "create function audit_step() returns trigger language plpgsql as $$ begin"
    " insert into dbos.audit_steps values (old.workflow_uuid, old.function_id, lower(tg_op)); return null; end $$",
    "create trigger audit_start after insert on workflow_status for each row execute function audit_start()",
    "create trigger audit_change after update on workflow_status for each row execute function audit_change()",
    "create trigger audit_step after update or delete on operation_outputs for each row execute function audit_step()",
    "create table audit_streams (number bigserial primary key, workflow_uuid text, key text, place bigint, value text)",
    "create function audit_value() returns trigger language plpgsql as $$ begin"
    f' insert into dbos.audit_streams ({STREAM_COLUMNS}) values (new.workflow_uuid, new.key, new."offset",'
    " new.value); return null; end $$",
    "create function audit_value_change() returns trigger language plpgsql as $$ begin"
    f" insert into dbos.audit_streams ({STREAM_COLUMNS}) values (old.workflow_uuid, old.key, -1, lower(tg_op));"
    " return null; end $$",
    "create trigger audit_value after insert on streams for each row execute function audit_value()",
    "create trigger audit_value_change after update or delete on streams for each row"
    " execute function audit_value_change()",
)


INDEXES = tuple(
    f"create index {table}_of_run on {table} (workflow_uuid)" for table in ("audit", "audit_steps", "audit_streams")
)

OF_RUN = "where workflow_uuid between ? and ?"


def span(run_id: str) -> tuple[str, str]:
    """From where to where the ids of a run reach: what `OF_RUN` takes."""
    return run_id, run_id + "~"


def install(sql: Sql, database_url: str) -> None:
    """From here on everything is written down. The system tables must exist."""
    for statement in (*(SQLITE if database_url.startswith("sqlite") else POSTGRES), *INDEXES):
        sql(statement)


def violations(sql: Sql, run_id: str, *, reopens_failures: bool = False, rewinds: bool = False) -> list[str]:
    """What broke the rules in one run.

    `reopens_failures` allows the loss of checkpoints that a resume brings, `rewinds` that a success is taken back, too.
    """
    found: list[str] = []
    if not reopens_failures and not rewinds:
        for workflow_id, step_id, event in sql(f"select * from audit_steps {OF_RUN}", *span(run_id)):
            found.append(f"the checkpoint of step {step_id} of {workflow_id} was {event}")
    for change in sql(f"select {COLUMNS} from audit {OF_RUN} order by number", *span(run_id)):
        if not rewinds or change[1:3] != ("SUCCESS", "ENQUEUED"):
            found += judge(*change)
    values = sql(f"select {STREAM_COLUMNS} from audit_streams {OF_RUN} order by number", *span(run_id))
    return found + _judge_streams(values)


def _judge_streams(values: Sequence[tuple[Any, ...]]) -> list[str]:
    """Values come one after the other, without a gap at any moment, and none follows the end."""
    found = []
    streams: dict[tuple[str, str], list[str]] = {}
    for workflow_id, key, place, value in values:
        before = streams.setdefault((workflow_id, key), [])
        if place != len(before):
            found.append(f"stream {key} of {workflow_id}: {value} at {place} instead of {len(before)}")
        if CLOSED_TEXT in before:
            found.append(f"stream {key} of {workflow_id}: {value} after its end")
        before.append(value)
    return found


def judge(
    workflow_id: str,
    old: str | None,
    new: str,
    old_epoch: int | None,
    new_epoch: int,
    old_outcome: str,
    new_outcome: str,
    completed: bool,
) -> list[str]:
    """The rules that one change of a workflow breaks."""
    change = f"{workflow_id}: {old} {old_epoch} -> {new} {new_epoch}"
    found = []
    same = (old, old_epoch, old_outcome) == (new, new_epoch, new_outcome)
    if same:  # its attributes or its times
        return []
    if new not in TRANSITIONS[old]:
        found.append(f"{change}: no such transition")
    if bool(completed) != (new in FINISHED):
        found.append(f"{change}: completed_at does not fit the status")
    if old is not None and old_epoch is not None:
        expected = old_epoch if new in KEEP_THE_EPOCH else old_epoch + 1
        if new_epoch != expected:
            found.append(f"{change}: the epoch should be {expected}")
    if old_outcome != new_outcome and not (old == "PENDING" and new in FINISHED) and new_outcome != "-/-":
        found.append(f"{change}: the outcome was written outside of finishing")
    return found


def claims(sql: Sql, run_id: str) -> Counter[str]:
    """How often each workflow of a run was started or taken up by an executor."""
    statement = (
        f"select workflow_uuid from audit {OF_RUN} and new_status = 'PENDING'"
        " and (old_epoch is null or old_epoch <> new_epoch)"
    )
    return Counter(workflow_id for (workflow_id,) in sql(statement, *span(run_id)))


def unfinished(sql: Sql) -> int:
    """How many workflows have not ended."""
    count: int = sql("select count(*) from workflow_status where completed_at is null")[0][0]
    return count
