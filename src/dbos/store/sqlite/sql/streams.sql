-- name: WriteStream
-- The next value of a stream. SQLite cannot insert into two tables at once: the step follows in the same transaction.
insert into {schema}.streams ({stream_columns})
{new_values};

-- name: WriteStream_step
-- The step of a value that was just written by the body of a workflow.
insert into {schema}.operation_outputs ({stream_step_columns})
select
    i.workflow_id, i.function_id, case when {closes:i} then 'DBOS.closeStream' else 'DBOS.writeStream' end,
    i.written_at_ms, i.written_at_ms, i.epoch
from {input} as i
where i.token = '';
