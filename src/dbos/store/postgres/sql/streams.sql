-- name: WriteStream
-- The next values of streams, in order, by a function of the schema (migrations/postgres/0013_stream_values.sql).
{select_key:i.workflow_id, i.epoch, i.function_id, i.token}
from {input} as i
where {schema}.append_to_stream(
    i.workflow_id, i.epoch, i.key, i.value, i.serialization, i.function_id, i.step_attempt, nullif(i.token, ''),
    i.written_at_ms
);
