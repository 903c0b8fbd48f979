-- SQLite cannot insert into two tables by one statement. But a trigger can follow one: a value and its step cost a single
-- statement, and with it a transaction of its own.

-- name: WriteStream
-- The next value of a stream: once, while its attempt owns the workflow (see journal.sql), and not behind the end.
insert into {schema}.streams (
    workflow_uuid, key, "offset", value, serialization, function_id, epoch, step_attempt, token, written_at_ms
)
select
    i.workflow_id, i.key, coalesce(last."offset" + 1, 0), i.value, i.serialization, i.function_id, i.epoch,
    i.step_attempt, nullif(i.token, ''), i.written_at_ms
from {input} as i
left join {schema}.streams as last
    on last.workflow_uuid = i.workflow_id and last.key = i.key
    and last."offset" = (
        select max(s."offset") from {schema}.streams as s
        where s.workflow_uuid = i.workflow_id and s.key = i.key
    )
where
    {attempt_owns}
    and not exists (
        select 1 from {schema}.operation_outputs as o
        where i.token = '' and o.workflow_uuid = i.workflow_id and o.function_id = i.function_id
    )
    and not exists (select 1 from {schema}.streams as t where t.token = i.token)
    and (last.value is null or not {closes:last});

-- name: record_stream_steps
-- Set up by the session that writes: what the body of a workflow writes is recorded as its step. What was copied to a
-- fork is of no attempt (its epoch is 0), and its step may be forgotten since; what is imported comes after its step.
-- (Inside a trigger, SQLite allows no schema before the table that is written to.)
create temp trigger if not exists stream_step after insert on {schema}.streams
when new.token is null and new.epoch > 0
begin
    insert into operation_outputs (
        workflow_uuid, function_id, function_name, started_at_epoch_ms, completed_at_epoch_ms, epoch
    )
    values (
        new.workflow_uuid, new.function_id,
        case when {closes:new} then 'DBOS.closeStream' else 'DBOS.writeStream' end,
        new.written_at_ms, new.written_at_ms, new.epoch
    )
    on conflict do nothing;
end;
