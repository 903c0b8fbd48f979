-- The values of streams: what readers ask. How they are written, each dialect says in its own folder.

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
