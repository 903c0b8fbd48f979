-- Taking a workflow out of one database and into another: everything but its place in the order of arrival and its owner.
-- What an `export_` names is in the order of the parameters of the `import_` (see transfer.py).

-- name: lock_to_export
-- The workflows that exist, in order of arrival. Locked, they write nothing until all of it was read.
select w.workflow_uuid from {schema}.workflow_status as w where w.workflow_uuid in ({each:ids})
order by w.sequence
{lock_rows};

-- name: export_workflow_status
-- The workflow itself.
select
    workflow_uuid, status, epoch, name, class_name, config_name, inputs, output, error, serialization,
    outcome_serialization, created_at, updated_at, completed_at, started_at_epoch_ms, recovery_attempts, executor_id,
    owner_xid, application_name, application_version, application_id, authenticated_user, assumed_role,
    authenticated_roles, request, queue_name, workflow_timeout_ms, workflow_deadline_epoch_ms, delay_until_epoch_ms,
    deduplication_id, priority, queue_partition_key, rate_limited, debounce_deadline_epoch_ms, is_debounced,
    forked_from, was_forked_from, parent_workflow_id, schedule_name, cast(attributes as text), debounce_token
from {schema}.workflow_status where workflow_uuid = :workflow_id;

-- name: import_workflow_status
-- Nobody's, as yet; nor of an attempt of a workflow of this id that was deleted here. (For what has ended nobody writes,
-- and to reopen it adds one to its epoch.)
insert into {schema}.workflow_status (
    workflow_uuid, status, epoch, name, class_name, config_name, inputs, output, error, serialization,
    outcome_serialization, created_at, updated_at, completed_at, started_at_epoch_ms, recovery_attempts, executor_id,
    owner_xid, application_name, application_version, application_id, authenticated_user, assumed_role,
    authenticated_roles, request, queue_name, workflow_timeout_ms, workflow_deadline_epoch_ms, delay_until_epoch_ms,
    deduplication_id, priority, queue_partition_key, rate_limited, debounce_deadline_epoch_ms, is_debounced,
    forked_from, was_forked_from, parent_workflow_id, schedule_name, attributes, debounce_token
)
values (
    :workflow_uuid, :status,
    coalesce(
        (
            select d.next_epoch - case when cast(:status as text) in ('PENDING', 'ENQUEUED', 'DELAYED') then 0 else 1 end
            from {schema}.deleted_workflows as d
            where d.workflow_uuid = :workflow_uuid and d.next_epoch > :epoch
        ),
        :epoch
    ),
    :name, :class_name, :config_name, :inputs, :output, :error, :serialization,
    :outcome_serialization, :created_at, :updated_at, :completed_at, :started_at_epoch_ms, :recovery_attempts,
    :executor_id, :owner_xid, :application_name, :application_version, :application_id, :authenticated_user,
    :assumed_role, :authenticated_roles, :request, :queue_name, :workflow_timeout_ms, :workflow_deadline_epoch_ms,
    :delay_until_epoch_ms, :deduplication_id, :priority, :queue_partition_key, :rate_limited,
    :debounce_deadline_epoch_ms, :is_debounced, :forked_from, :was_forked_from, :parent_workflow_id, :schedule_name,
    cast(:attributes as {json}), :debounce_token
);

-- name: export_operation_outputs
-- Its steps.
select
    workflow_uuid, function_id, function_name, output, error, serialization, child_workflow_id, started_at_epoch_ms,
    completed_at_epoch_ms, epoch
from {schema}.operation_outputs where workflow_uuid = :workflow_id order by function_id;

-- name: import_operation_outputs
-- Its steps.
insert into {schema}.operation_outputs (
    workflow_uuid, function_id, function_name, output, error, serialization, child_workflow_id, started_at_epoch_ms,
    completed_at_epoch_ms, epoch
)
values (
    :workflow_uuid, :function_id, :function_name, :output, :error, :serialization, :child_workflow_id,
    :started_at_epoch_ms, :completed_at_epoch_ms, :epoch
);

-- name: export_notifications
-- The messages to it, in their order.
select
    destination_uuid, message_uuid, topic, message, serialization, created_at_epoch_ms, consumed,
    consumed_by_function_id
from {schema}.notifications where destination_uuid = :workflow_id order by sequence;

-- name: import_notifications
-- The messages to it, in their order.
insert into {schema}.notifications (
    destination_uuid, message_uuid, topic, message, serialization, created_at_epoch_ms, consumed,
    consumed_by_function_id
)
values (
    :destination_uuid, :message_uuid, :topic, :message, :serialization, :created_at_epoch_ms, :consumed,
    :consumed_by_function_id
);

-- name: export_workflow_events
-- What it publishes.
select workflow_uuid, key, value, serialization
from {schema}.workflow_events where workflow_uuid = :workflow_id order by key;

-- name: import_workflow_events
-- What it publishes.
insert into {schema}.workflow_events (workflow_uuid, key, value, serialization)
values (:workflow_uuid, :key, :value, :serialization);

-- name: export_workflow_events_history
-- What it has published.
select workflow_uuid, function_id, key, value, serialization
from {schema}.workflow_events_history where workflow_uuid = :workflow_id order by function_id, key;

-- name: import_workflow_events_history
-- What it has published.
insert into {schema}.workflow_events_history (workflow_uuid, function_id, key, value, serialization)
values (:workflow_uuid, :function_id, :key, :value, :serialization);

-- name: export_streams
-- What it wrote for readers.
select
    workflow_uuid, key, "offset", value, serialization, function_id, epoch, step_attempt, token, written_at_ms
from {schema}.streams where workflow_uuid = :workflow_id order by key, "offset";

-- name: import_streams
-- What it wrote for readers.
insert into {schema}.streams (
    workflow_uuid, key, "offset", value, serialization, function_id, epoch, step_attempt, token, written_at_ms
)
values (
    :workflow_uuid, :key, :offset, :value, :serialization, :function_id, :epoch, :step_attempt, :token, :written_at_ms
);

-- name: export_transaction_outputs
-- That its transactions in this database have happened.
select
    workflow_uuid, function_id, function_name, output, error, serialization, life, epoch, executor_id, txn_id,
    txn_snapshot, created_at
from {schema}.transaction_outputs where workflow_uuid = :workflow_id order by function_id;

-- name: import_transaction_outputs
-- That its transactions have happened.
insert into {schema}.transaction_outputs (
    workflow_uuid, function_id, function_name, output, error, serialization, life, epoch, executor_id, txn_id,
    txn_snapshot, created_at
)
values (
    :workflow_uuid, :function_id, :function_name, :output, :error, :serialization, :life, :epoch, :executor_id,
    :txn_id, :txn_snapshot, :created_at
);

-- name: known_life
-- Which life of which workflow has this id, and how often it has changed hands.
select owner_xid, epoch from {schema}.workflow_status where workflow_uuid = :workflow_id;
