-- Deleting workflows. The row goes first: see deleting.py.

-- name: lock_to_delete
-- Keep everybody from writing for these workflows.
select w.workflow_uuid from {schema}.workflow_status as w where w.workflow_uuid in ({each:ids})
order by w.workflow_uuid
{lock_to_delete};

-- name: keep_epochs
-- Where the epochs of their ids go on, should they be used again. Nobody writes any more for what ended long ago.
insert into {schema}.deleted_workflows (workflow_uuid, next_epoch, deleted_at)
select w.workflow_uuid, w.epoch + 1, {now_ms}
from {schema}.workflow_status as w
where
    w.workflow_uuid in ({each:ids})
    and coalesce(w.completed_at, {now_ms}) >= {now_ms} - :kept_ms
order by w.workflow_uuid
on conflict (workflow_uuid) do update set
    next_epoch = case
        when deleted_workflows.next_epoch > excluded.next_epoch
        then deleted_workflows.next_epoch
        else excluded.next_epoch
    end,
    deleted_at = excluded.deleted_at;

-- name: forget_epochs
-- What was deleted so long ago that none of its attempts writes any more.
delete from {schema}.deleted_workflows where workflow_uuid in (
    select w.workflow_uuid from {schema}.deleted_workflows as w
    where w.deleted_at < {now_ms} - :kept_ms
    order by w.deleted_at
    limit :limit
    {lock_free_to_delete}
);

-- name: delete_workflows
-- The rows themselves, each with the token of its life.
delete from {schema}.workflow_status where workflow_uuid in ({each:ids}) returning workflow_uuid, coalesce(owner_xid, '');

-- name: delete_steps
-- What they recorded.
delete from {schema}.operation_outputs where workflow_uuid in ({each:ids});

-- name: delete_messages
-- What was sent to them.
delete from {schema}.notifications where destination_uuid in ({each:ids});

-- name: delete_events
-- What they published.
delete from {schema}.workflow_events where workflow_uuid in ({each:ids});

-- name: delete_event_history
-- And what they had published before.
delete from {schema}.workflow_events_history where workflow_uuid in ({each:ids});

-- name: delete_streams
-- What they wrote for readers.
delete from {schema}.streams where workflow_uuid in ({each:ids});

-- name: delete_witnesses
-- What their transactions left here. Elsewhere whoever reaches it drops it; a later workflow of the id does not heed it.
delete from {schema}.transaction_outputs where workflow_uuid in ({each:ids});
