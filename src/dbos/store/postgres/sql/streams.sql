-- name: WriteStream
-- The next values of streams and, for those that the body of a workflow wrote, the steps that record them: both or
-- neither. Here one statement does both. Its last part tells which records were written.
with written as (
    insert into {schema}.streams ({stream_columns})
    {new_values}
    returning workflow_uuid, function_id, epoch, token, value, serialization, written_at_ms
),
steps as (
    insert into {schema}.operation_outputs ({stream_step_columns})
    select
        w.workflow_uuid, w.function_id, case when {closes:w} then 'DBOS.closeStream' else 'DBOS.writeStream' end,
        w.written_at_ms, w.written_at_ms, w.epoch
    from written as w
    where w.token is null
)
select workflow_uuid, epoch, function_id, coalesce(token, '') from written;
