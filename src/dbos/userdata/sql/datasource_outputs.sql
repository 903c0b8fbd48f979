-- The witnesses of datasources: a row says that a step of a workflow has happened, and what came of it.

-- name: find
-- What a step came to, if it has happened, and in which life of its workflow's id. A failure counts no more
-- once the workflow was resumed: the function runs again.
select life, function_name, output, error, serialization from {table}
where workflow_id = :workflow_id and step_id = :step_id
    and (life <> :life or error is null or epoch > :resumed_epoch);

-- name: testify
-- Written beside the user's data. The row that is there counts. Only that of a workflow that is known to have had this
-- id before gives way, and a failure from before its workflow was resumed.
insert into {table} as w (workflow_id, step_id, function_name, output, error, serialization, life, epoch, created_at)
select :workflow_id, :step_id, :name, :output, :error, :serialization, :life, :epoch, {now_ms}
{durably}
on conflict (workflow_id, step_id) do update set
    function_name = excluded.function_name, output = excluded.output, error = excluded.error, serialization = excluded.serialization,
    life = excluded.life, epoch = excluded.epoch, created_at = excluded.created_at
where
    w.life = :older_life
    or (w.life = excluded.life and w.error is not null and w.epoch <= :resumed_epoch);

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

-- name: forget_workflow
-- All of a workflow that was deleted, and nothing of another one that has its id by now.
delete from {table} where workflow_id = :workflow_id and life = :life;
