-- The values of streams: what readers ask, and what the journal's record WriteStream shares between the dialects.

-- fragment: new_values
-- What may be written, each value at the next free place of its stream. At most one of each workflow: the next one is
-- written by the next statement, which sees this one.
--
-- An attempt may write while its guard holds (see journal.sql), each value once, and nobody behind the end of a stream.
-- Two sessions never write to one stream at the same time, for the guard locks the row of the workflow, and only one
-- epoch passes it. But a batch may run twice at the same time, when its connection was lost and the server did not
-- notice: the second run waits for the lock, has looked before the first one committed, and finds its place taken
-- (`on conflict`).
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
    and (last.value is null or not {closes:last})
on conflict do nothing

-- fragment: stream_columns
workflow_uuid, key, "offset", value, serialization, function_id, epoch, step_attempt, token, written_at_ms

-- fragment: stream_step_columns
workflow_uuid, function_id, function_name, started_at_epoch_ms, completed_at_epoch_ms, epoch

-- name: stream_page
-- Some values from an offset on, and whether nothing will follow them: the workflow has ended, or the stream was closed
-- before that offset. One statement sees one moment, so if the workflow has ended, what it wrote last is there as well.
-- No row at all: there is no such workflow.
select
    w.completed_at is not null or exists (
        select 1 from {schema}.streams as last
        where
            last.workflow_uuid = :workflow_id and last.key = :key and last."offset" < :offset and {closes:last}
            and last."offset" = (
                select max(s."offset") from {schema}.streams as s
                where s.workflow_uuid = :workflow_id and s.key = :key
            )
    ),
    v."offset", v.value, v.serialization
from {schema}.workflow_status as w
left join {schema}.streams as v
    on v.workflow_uuid = w.workflow_uuid and v.key = :key and v."offset" >= :offset and v."offset" < :behind
where w.workflow_uuid = :workflow_id
order by v."offset";

-- name: reached
-- Of these places ([workflow id, key, offset], each a JSON text), those that hold a value, or lie behind an end.
select e.value
from ({each:positions}) as e
join {schema}.streams as last
    on last.workflow_uuid = {item:e.value, 0} and last.key = {item:e.value, 1}
    and last."offset" = (
        select max(s."offset") from {schema}.streams as s
        where s.workflow_uuid = {item:e.value, 0} and s.key = {item:e.value, 1}
    )
where last."offset" >= cast({item:e.value, 2} as bigint) or {closes:last};

-- name: stream_end
-- Is the stream closed?
select 1 from {schema}.streams as last
where
    last.workflow_uuid = :workflow_id and last.key = :key and {closes:last}
    and last."offset" = (
        select max(s."offset") from {schema}.streams as s
        where s.workflow_uuid = :workflow_id and s.key = :key
    );

-- name: written
-- Did the write of this token arrive?
select 1 from {schema}.streams where token = :token;
