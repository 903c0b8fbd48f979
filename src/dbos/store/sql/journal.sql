-- What the journal writes: one statement per kind of record (see records.py).
--
-- `{input}` is the batch, one row per record, its columns named and ordered like the fields of the record: the
-- parameters of a single row, or `unnest` over arrays where the dialect takes many rows at once.
--
-- The guard of an attempt, `epoch = its epoch and completed_at is null`, is checked on the row of the workflow with
-- that row locked (`{lock}`; SQLite has one writer and needs none). A takeover that commits first is seen by the
-- recheck after the lock; one that comes later waits for this commit. Without the lock it could slip between the check
-- and our commit, and a stale owner would write once more. No guard names `status`: see the planner trap in schema.sql.

-- fragment: attempt_owns
-- The attempt that writes this still owns its workflow.
exists (
    select 1 from {schema}.workflow_status as w
    where w.workflow_uuid = i.workflow_id and w.epoch = i.epoch and w.completed_at is null
    {lock}
)

-- fragment: attempt_goes_on
-- The attempt that asks for this still owns its own workflow, or nobody's attempt asks.
(
    i.guard_workflow_id is null or exists (
        select 1 from {schema}.workflow_status as g
        where g.workflow_uuid = i.guard_workflow_id and g.epoch = i.guard_epoch and g.completed_at is null
        {lock}
    )
)

-- name: Checkpoint
-- The outcome of a step, once, while its attempt owns the workflow.
insert into {schema}.operation_outputs (
    workflow_uuid, function_id, function_name, output, error, serialization,
    child_workflow_id, started_at_epoch_ms, completed_at_epoch_ms, epoch
)
select
    i.workflow_id, i.step_id, i.name, i.output, i.error, i.serialization,
    i.child_workflow_id, i.started_at_ms, i.completed_at_ms, i.epoch
from {input} as i
where {attempt_owns}
on conflict do nothing
{returning_key:workflow_uuid, epoch, function_id};

-- fragment: schedule_goes_on
-- The schedule is ACTIVE, and by the time table by which a tick of it was found due; or it is no run of a tick. Whoever
-- pauses it waits for this commit, or is seen here.
(
    i.schedule_active_since is null or exists (
        select 1 from {schema}.workflow_schedules as s
        where s.schedule_name = i.schedule_name and s.active_since = i.schedule_active_since and s.status = 'ACTIVE'
        {lock}
    )
)

-- fragment: first_epoch
-- Epochs of an id go on where a workflow of it that was deleted left off: its attempts may still be about to write.
coalesce((select d.next_epoch from {schema}.deleted_workflows as d where d.workflow_uuid = i.workflow_id), 0)

-- name: StartWorkflow
-- A new workflow, if its id is free and the attempt that starts it (if one does) still owns its own row. Who is being
-- deleted still has the id: the insert would wait for that commit, and then not see the epoch that it leaves.
insert into {schema}.workflow_status (
    workflow_uuid, owner_xid, status, name, class_name, config_name, inputs, serialization,
    application_name, application_version, application_id, executor_id, executor_instance,
    authenticated_user, assumed_role, authenticated_roles, queue_name, workflow_timeout_ms,
    workflow_deadline_epoch_ms,
    delay_until_epoch_ms, deduplication_id, priority, queue_partition_key, parent_workflow_id, attributes,
    schedule_name, epoch, recovery_attempts, started_at_epoch_ms, created_at, updated_at
)
select
    i.workflow_id, i.token, i.status, i.name, i.class_name, i.config_name, i.inputs, i.serialization,
    i.application_name, i.application_version, i.application_id, i.executor_id, i.executor_instance,
    i.authenticated_user, i.assumed_role, i.authenticated_roles, i.queue_name, i.timeout_ms,
    case when i.deadline_ms is null and i.status = 'PENDING' then {now_ms} + i.timeout_ms else i.deadline_ms end,
    {now_ms} + i.delay_ms, i.deduplication_id, i.priority, i.queue_partition_key, i.parent_workflow_id,
    cast(i.attributes as {json}), i.schedule_name,
    {first_epoch} + case when i.status = 'PENDING' then 1 else 0 end,
    case when i.status = 'PENDING' then 1 else 0 end,
    case when i.status = 'PENDING' then {now_ms} end,
    {now_ms}, {now_ms}
from {input} as i
where
    {attempt_goes_on} and {schedule_goes_on}
    and (select w.epoch from {schema}.workflow_status as w where w.workflow_uuid = i.workflow_id) is null
on conflict do nothing
returning owner_xid, workflow_deadline_epoch_ms, epoch;

-- name: Debounce
-- A new delayed workflow, or other inputs for the one that is delayed under the key. The lock of that row decides between
-- this call and whoever starts the workflow: once it has left its delay, its key is free, and a new row is written. A
-- call that was accepted before, in a commit whose reply was lost, changes nothing; nor does one whose id is taken,
-- unless it is the row that waits under the key.
insert into {schema}.workflow_status (
    workflow_uuid, owner_xid, debounce_token, status, name, class_name, config_name, inputs, serialization,
    application_name, application_version, application_id, authenticated_user, assumed_role, authenticated_roles,
    queue_name, deduplication_id, is_debounced, delay_until_epoch_ms, debounce_deadline_epoch_ms,
    workflow_timeout_ms, workflow_deadline_epoch_ms, priority, parent_workflow_id, attributes,
    epoch, recovery_attempts, created_at, updated_at
)
select
    i.workflow_id, i.token, i.token, 'DELAYED', i.name, i.class_name, i.config_name, i.inputs, i.serialization,
    i.application_name, i.application_version, i.application_id, i.authenticated_user, i.assumed_role,
    i.authenticated_roles, i.queue_name, i.deduplication_id, true,
    {now_ms} + case when i.longest_delay_ms < i.period_ms then i.longest_delay_ms else i.period_ms end,
    {now_ms} + i.longest_delay_ms,
    i.timeout_ms, i.deadline_ms, i.priority, i.parent_workflow_id, cast(i.attributes as {json}),
    {first_epoch}, 0, {now_ms}, {now_ms}
from {input} as i
where
    {attempt_goes_on}
    and not exists (select 1 from {schema}.workflow_status as w where w.debounce_token = i.token)
    and not exists (
        select 1 from {schema}.workflow_status as w
        where
            w.workflow_uuid = i.workflow_id
            and (
                w.owner_xid = i.token
                or coalesce(w.queue_name, '') <> i.queue_name
                or coalesce(w.deduplication_id, '') <> i.deduplication_id
                or w.status || '' <> 'DELAYED'
            )
    )
on conflict (queue_name, deduplication_id) where deduplication_id is not null do update set
    inputs = excluded.inputs, serialization = excluded.serialization, debounce_token = excluded.debounce_token,
    delay_until_epoch_ms = case
        when workflow_status.debounce_deadline_epoch_ms < excluded.delay_until_epoch_ms
        then workflow_status.debounce_deadline_epoch_ms
        else excluded.delay_until_epoch_ms
    end,
    updated_at = excluded.updated_at
where
    workflow_status.status = 'DELAYED' and workflow_status.is_debounced and workflow_status.name = excluded.name
    and coalesce(workflow_status.class_name, '') = coalesce(excluded.class_name, '')
    and coalesce(workflow_status.config_name, '') = coalesce(excluded.config_name, '')
returning debounce_token, workflow_uuid, owner_xid;

-- name: CheckpointDebounce
-- The step that debounced. Written after the call itself, it finds there which workflow has the inputs.
insert into {schema}.operation_outputs (
    workflow_uuid, function_id, function_name, child_workflow_id, started_at_epoch_ms, completed_at_epoch_ms, epoch
)
select i.workflow_id, i.step_id, i.name, d.workflow_uuid, i.started_at_ms, i.completed_at_ms, i.epoch
from {input} as i
join {schema}.workflow_status as d on d.debounce_token = i.token
where exists (
    select 1 from {schema}.workflow_status as o
    where o.workflow_uuid = i.workflow_id and o.epoch = i.epoch and o.completed_at is null
    {lock}
)
on conflict do nothing
{returning_key:workflow_uuid, epoch, function_id};

-- name: UpdateAttributes
-- Replace or merge the attributes of a workflow, whatever its status.
update {schema}.workflow_status
set
    attributes = case when i.merge then {merged_attributes} else cast(i.attributes as {json}) end,
    updated_at = {now_ms}
from {input} as i
where workflow_status.workflow_uuid = i.workflow_id and {attempt_goes_on}
{returning_key:workflow_status.workflow_uuid};

-- name: SetDelay
-- When a delayed workflow may run. The sum keeps the plan off the index of everything delayed: see schema.sql.
update {schema}.workflow_status
set delay_until_epoch_ms = coalesce(i.until_ms, {now_ms} + i.delay_ms), updated_at = {now_ms}
from {input} as i
where workflow_status.workflow_uuid = i.workflow_id and workflow_status.status || '' = 'DELAYED' and {attempt_goes_on}
{returning_key:workflow_status.workflow_uuid};

-- name: FinishWorkflow
-- The outcome of a workflow, once, by the attempt that owns it. Its deduplication slot is free from here on.
update {schema}.workflow_status
set
    status = i.status, output = i.output, error = i.error, outcome_serialization = i.serialization,
    completed_at = {now_ms}, updated_at = {now_ms}, deduplication_id = null
from {input} as i
where
    workflow_status.workflow_uuid = i.workflow_id and workflow_status.epoch = i.epoch
    and workflow_status.completed_at is null
{returning_key:workflow_status.workflow_uuid, workflow_status.epoch};
