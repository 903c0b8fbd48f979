-- Rewinding: a finished workflow forgets what it did from a step on. All of it is one transaction; see rewinding.py.

-- name: lock_to_rewind
-- Where it stands, and which call began the life that ends here.
select w.status, w.owner_xid from {schema}.workflow_status as w where w.workflow_uuid = :workflow_id {lock_rows};

-- name: forget_steps_from
-- What it recorded.
delete from {schema}.operation_outputs where workflow_uuid = :workflow_id and function_id >= :start_step;

-- fragment: no_recorded_step
-- A value of a step that is not recorded: the step runs again, and writes it anew.
not exists (
    select 1 from {schema}.operation_outputs as s
    where s.workflow_uuid = v.workflow_uuid and s.function_id = v.function_id
)

-- name: forget_event_history
-- What it published, and when.
delete from {schema}.workflow_events_history as v where v.workflow_uuid = :workflow_id and {no_recorded_step};

-- name: forget_events
-- The events as they stand; those of the steps that stay are restored after that.
delete from {schema}.workflow_events where workflow_uuid = :workflow_id;

-- name: forget_stream_values
-- What it wrote for readers, the end of a stream included.
delete from {schema}.streams as v where v.workflow_uuid = :workflow_id and {no_recorded_step};

-- name: renumber_streams
-- No gaps, should values have gone from the middle. By way of negative offsets, for no two may be equal at any moment.
update {schema}.streams set "offset" = -1 - n.place
from (
    select v.key, v."offset", row_number() over (partition by v.key order by v."offset") - 1 as place
    from {schema}.streams as v
    where v.workflow_uuid = :workflow_id
) as n
where
    streams.workflow_uuid = :workflow_id and streams.key = n.key and streams."offset" = n."offset"
    and n.place <> n."offset";

-- name: settle_streams
-- The second half.
update {schema}.streams set "offset" = -1 - "offset" where workflow_uuid = :workflow_id and "offset" < 0;

-- name: give_back_messages
-- What the forgotten steps received is to be received again, in the old order.
update {schema}.notifications set consumed = false, consumed_by_function_id = null
where destination_uuid = :workflow_id and consumed_by_function_id >= :start_step;

-- name: forget_witnesses
-- That its transactions happened. Elsewhere such rows stay, and the next life does not heed them.
delete from {schema}.transaction_outputs where workflow_uuid = :workflow_id and function_id >= :start_step;

-- name: keep_witnesses
-- Those of earlier steps speak for the next life as well.
update {schema}.transaction_outputs set life = :token where workflow_uuid = :workflow_id;

-- name: rewind
-- The row, as if it had never been started.
update {schema}.workflow_status
set
    status = 'ENQUEUED', epoch = epoch + 1, owner_xid = :token, queue_name = :queue_name,
    queue_partition_key = :queue_partition_key, application_version = coalesce(:application_version, application_version),
    recovery_attempts = 0, output = null, error = null, outcome_serialization = null, completed_at = null,
    updated_at = {now_ms}, started_at_epoch_ms = null, workflow_deadline_epoch_ms = null, delay_until_epoch_ms = null,
    deduplication_id = null, executor_id = null, executor_instance = null
where workflow_uuid = :workflow_id;
