-- The recorded steps of workflows. Their only writer is the journal.

-- fragment: step_columns
workflow_uuid, function_id, function_name, output, error, serialization, child_workflow_id,
started_at_epoch_ms, completed_at_epoch_ms, epoch

-- name: history
-- Everything that many workflows recorded, in order.
select {step_columns} from {schema}.operation_outputs
where workflow_uuid in ({each:ids})
order by workflow_uuid, function_id;

-- name: recorded_step
-- One step of one workflow.
select {step_columns} from {schema}.operation_outputs where workflow_uuid = :workflow_id and function_id = :step_id;

-- name: list_steps
-- The steps of one workflow for people: a page of them, with or without payloads.
select
    workflow_uuid, function_id, function_name,
    case when :load_output = 1 then output end, case when :load_output = 1 then error end,
    serialization, child_workflow_id, started_at_epoch_ms, completed_at_epoch_ms, epoch
from {schema}.operation_outputs
where workflow_uuid = :workflow_id
order by function_id
limit :limit offset :offset;

-- name: ended_steps
-- How and when the steps of a workflow ended, without their payloads.
select function_id, function_name, error, child_workflow_id, started_at_epoch_ms, completed_at_epoch_ms, epoch
from {schema}.operation_outputs
where workflow_uuid = :workflow_id
order by function_id;

-- name: forget_steps
-- Drop checkpoints of a workflow that is being reopened.
delete from {schema}.operation_outputs
where workflow_uuid = :workflow_id and function_id in (select cast(value as integer) from ({each:step_ids}) as e);
