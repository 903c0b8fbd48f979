-- The witnesses of `@DBOS.transaction`: a row says that a step of a workflow has happened, and what came of it.

-- name: find
-- What a step came to, if it has happened, and in which life of its workflow's id. A failure counts no more
-- once the workflow was resumed: the function runs again.
select life, function_name, output, error, serialization from {table}
where workflow_uuid = :workflow_id and function_id = :step_id
    and (life <> :life or error is null or epoch > :resumed_epoch);

-- name: testify
-- Written beside the user's data. The row that is there counts. Only that of a workflow that is known to have had this
-- id before gives way, and a failure from before its workflow was resumed.
insert into {table} as w (
    workflow_uuid, function_id, function_name, output, error, serialization, life, epoch,
    executor_id, txn_id, txn_snapshot, created_at
)
select
    :workflow_id, :step_id, :name, :output, :error, :serialization, :life, :epoch,
    :executor_id, {txn_id}, {txn_snapshot}, {now_ms}
{durably}
on conflict (workflow_uuid, function_id) do update set
    function_name = excluded.function_name, output = excluded.output, error = excluded.error,
    serialization = excluded.serialization, life = excluded.life, epoch = excluded.epoch,
    executor_id = excluded.executor_id, txn_id = excluded.txn_id, txn_snapshot = excluded.txn_snapshot,
    created_at = excluded.created_at
where
    w.life = :older_life
    or (w.life = excluded.life and w.error is not null and w.epoch <= :resumed_epoch);

-- name: forget_workflow
-- All of a workflow that was deleted, and nothing of another one that has its id by now.
delete from {table} where workflow_uuid = :workflow_id and life = :life;
