-- Forking: a new workflow that begins with what another one had recorded before a step. All of it is one transaction.

-- name: still_owned
-- Does the attempt that asks still own its workflow? Its row stays locked until the end of the transaction.
select w.workflow_uuid from {schema}.workflow_status as w
where w.workflow_uuid = :workflow_id and w.epoch = :epoch and w.completed_at is null
{lock};

-- name: known_start
-- Which call created the workflow of this id, and is it a fork?
select owner_xid, forked_from from {schema}.workflow_status where workflow_uuid = :workflow_id;

-- name: mark_forked
-- Mark the origin. That locks its row, so that it records nothing while it is copied.
update {schema}.workflow_status set was_forked_from = true where workflow_uuid = :origin
returning status;

-- name: insert_fork
-- The row of the fork: what the origin was asked to do, and nothing of what came of it. The version is only a wish: without
-- one it gets that of whoever runs it.
insert into {schema}.workflow_status (
    workflow_uuid, owner_xid, status, epoch, name, class_name, config_name, inputs, serialization,
    application_name, application_id, application_version, authenticated_user, assumed_role, authenticated_roles,
    attributes, queue_name, queue_partition_key, workflow_timeout_ms, forked_from, created_at, updated_at
)
select
    :workflow_id, :token, 'ENQUEUED',
    coalesce((select d.next_epoch from {schema}.deleted_workflows as d where d.workflow_uuid = :workflow_id), 0),
    o.name, o.class_name, o.config_name, o.inputs, o.serialization, o.application_name, o.application_id,
    :application_version, o.authenticated_user, o.assumed_role, o.authenticated_roles, o.attributes,
    :queue_name, :queue_partition_key, :timeout_ms, o.workflow_uuid, {now_ms}, {now_ms}
from {schema}.workflow_status as o
where o.workflow_uuid = :origin
on conflict do nothing
returning workflow_uuid;

-- name: copy_steps
-- The steps before the first that the fork runs itself. No attempt of the fork recorded them, so their epochs are 0 or
-- less. They keep their order: times of different attempts may come from different clocks (see model/resuming.py).
insert into {schema}.operation_outputs ({step_columns})
select
    :workflow_id, o.function_id, o.function_name, o.output, o.error, o.serialization,
    coalesce(
        (select r.value from {each_pair}(cast(:replacements as {json})) as r where r.key = o.child_workflow_id),
        o.child_workflow_id
    ),
    o.started_at_epoch_ms, o.completed_at_epoch_ms,
    o.epoch - (select w.epoch from {schema}.workflow_status as w where w.workflow_uuid = :origin)
from {schema}.operation_outputs as o
where o.workflow_uuid = :origin and o.function_id < :start_step;

-- name: copy_event_history
-- What the copied steps have set.
insert into {schema}.workflow_events_history (workflow_uuid, function_id, key, value, serialization)
select :workflow_id, h.function_id, h.key, h.value, h.serialization
from {schema}.workflow_events_history as h
where h.workflow_uuid = :origin and exists (
    select 1 from {schema}.operation_outputs as s
    where s.workflow_uuid = :workflow_id and s.function_id = h.function_id
);

-- name: restore_events
-- The events as of the last copied step that set each.
insert into {schema}.workflow_events (workflow_uuid, key, value, serialization)
select h.workflow_uuid, h.key, h.value, h.serialization
from {schema}.workflow_events_history as h
where h.workflow_uuid = :workflow_id and not exists (
    select 1 from {schema}.workflow_events_history as later
    where later.workflow_uuid = h.workflow_uuid and later.key = h.key and later.function_id > h.function_id
);

-- name: copy_streams
-- What the copied steps have written, without gaps. Tokens name writes of the origin, and stay with it.
insert into {schema}.streams (
    workflow_uuid, key, "offset", value, serialization, function_id, epoch, step_attempt, written_at_ms
)
select
    :workflow_id, v.key, row_number() over (partition by v.key order by v."offset") - 1,
    v.value, v.serialization, v.function_id, 0, v.step_attempt, v.written_at_ms
from {schema}.streams as v
where v.workflow_uuid = :origin and exists (
    select 1 from {schema}.operation_outputs as s
    where s.workflow_uuid = :workflow_id and s.function_id = v.function_id
);
