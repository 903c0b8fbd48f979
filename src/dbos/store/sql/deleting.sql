-- Deleting workflows. The row goes first: see deleting.py.

-- name: lock_to_delete
-- Keep everybody from writing for these workflows.
select w.workflow_uuid from {schema}.workflow_status as w where w.workflow_uuid in ({each:ids})
order by w.workflow_uuid
{lock_to_delete};

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
