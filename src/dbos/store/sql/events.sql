-- Events: what workflows publish under keys, and what is asked about them.

-- name: SetEvent
-- The value of an event from now on, while the attempt that sets it owns its workflow.
insert into {schema}.workflow_events (workflow_uuid, key, value, serialization)
select i.workflow_id, i.key, i.value, i.serialization
from {input} as i
where {attempt_owns}
on conflict (workflow_uuid, key) do update set value = excluded.value, serialization = excluded.serialization
{returning_key:workflow_uuid, key};

-- name: KeepEvent
-- The same value as that of the step which sets it, for forks that begin after the step.
insert into {schema}.workflow_events_history (workflow_uuid, function_id, key, value, serialization)
select i.workflow_id, i.step_id, i.key, i.value, i.serialization
from {input} as i
where {attempt_owns}
on conflict (workflow_uuid, function_id, key) do update set value = excluded.value, serialization = excluded.serialization
{returning_key:workflow_uuid, key};

-- name: event_values
-- Of these events, each a JSON pair of workflow and key, those that are set, and their values.
select e.value, w.value, w.serialization
from ({each:events}) as e
join {schema}.workflow_events as w on w.workflow_uuid = {item:e.value, 0} and w.key = {item:e.value, 1};

-- name: events
-- All events of a workflow.
select key, value, serialization from {schema}.workflow_events where workflow_uuid = :workflow_id order by key;

-- name: events_set
-- The same without the values.
select e.value from ({each:events}) as e
where exists (
    select 1 from {schema}.workflow_events as w
    where w.workflow_uuid = {item:e.value, 0} and w.key = {item:e.value, 1}
);
