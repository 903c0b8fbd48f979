-- The witnesses of datasources: a row says that a step of a workflow has happened, and what came of it.

-- name: find
-- What a step came to, if it has happened in this life of its workflow.
select output, error, serialization from {table}
where workflow_id = :workflow_id and step_id = :step_id and life = :life;

-- name: testify
-- Written beside the user's data. One row of a life counts; one of an older workflow with the same id gives way.
insert into {table} as w (workflow_id, step_id, output, error, serialization, life, created_at)
values (:workflow_id, :step_id, :output, :error, :serialization, :life, {now_ms})
on conflict (workflow_id, step_id) do update set
    output = excluded.output, error = excluded.error, serialization = excluded.serialization,
    life = excluded.life, created_at = excluded.created_at
where w.life <> excluded.life;

-- name: aged
-- Workflows whose witnesses are so old that whoever wrote beside them has surely stopped; a page of them.
select distinct workflow_id from {table}
where created_at < {now_ms} - :age_ms and workflow_id > :after
order by workflow_id
limit :limit;

-- name: forget
-- A witness that nobody will ask again.
delete from {table}
where workflow_id = :workflow_id and step_id = :step_id and created_at < {now_ms} - :age_ms;
