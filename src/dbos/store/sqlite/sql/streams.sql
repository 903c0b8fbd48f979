-- SQLite cannot insert into two tables by one statement. But a trigger can follow one: a value and its step cost a single
-- statement, and with it a transaction of its own.

-- name: WriteStream
-- The next value of a stream.
insert into {schema}.streams ({stream_columns})
{new_values};

-- name: record_stream_steps
-- Set up by the session that writes: what the body of a workflow writes is recorded as its step. What was copied to a
-- fork is of no attempt (its epoch is 0), and its step may be forgotten since; what is imported comes after its step.
-- (Inside a trigger, SQLite allows no schema before the table that is written to.)
create temp trigger if not exists stream_step after insert on {schema}.streams
when new.token is null and new.epoch > 0
begin
    insert into operation_outputs ({stream_step_columns})
    values (
        new.workflow_uuid, new.function_id,
        case when {closes:new} then 'DBOS.closeStream' else 'DBOS.writeStream' end,
        new.written_at_ms, new.written_at_ms, new.epoch
    )
    on conflict do nothing;
end;
