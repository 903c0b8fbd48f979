-- The rows of workflows: what is asked about them, and every change of who may write.
--
-- A change of owner or standing adds one to `epoch`, so that whoever wrote before is fenced off (see journal.sql).
-- Workflows that several statements change at once are locked in the order of their ids.

-- fragment: workflow_columns
workflow_uuid, status, name, class_name, config_name, inputs, output, error, serialization, outcome_serialization,
created_at, updated_at, completed_at, started_at_epoch_ms, epoch, recovery_attempts, executor_id, executor_instance,
owner_xid, application_name, application_version, application_id, authenticated_user, assumed_role,
authenticated_roles, queue_name, workflow_timeout_ms, workflow_deadline_epoch_ms, delay_until_epoch_ms,
deduplication_id, priority, queue_partition_key, forked_from, was_forked_from, parent_workflow_id,
cast(attributes as text) as attributes, schedule_name

-- fragment: searched_columns
-- The same, with payloads only as wanted.
workflow_uuid, status, name, class_name, config_name,
case when :load_input = 1 then inputs end, case when :load_output = 1 then output end,
case when :load_output = 1 then error end, serialization, outcome_serialization,
created_at, updated_at, completed_at, started_at_epoch_ms, epoch, recovery_attempts, executor_id, executor_instance,
owner_xid, application_name, application_version, application_id, authenticated_user, assumed_role,
authenticated_roles, queue_name, workflow_timeout_ms, workflow_deadline_epoch_ms, delay_until_epoch_ms,
deduplication_id, priority, queue_partition_key, forked_from, was_forked_from, parent_workflow_id,
cast(attributes as text) as attributes, schedule_name

-- name: load_workflow
-- One workflow.
select {workflow_columns} from {schema}.workflow_status where workflow_uuid = :workflow_id;

-- name: load_workflows
-- Many workflows.
select {workflow_columns} from {schema}.workflow_status where workflow_uuid in ({each:ids});

-- name: standing
-- May this attempt go on? The cheapest look at a workflow.
select status, epoch from {schema}.workflow_status where workflow_uuid = :workflow_id;
