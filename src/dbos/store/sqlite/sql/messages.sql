-- Receiving a message takes three statements in one transaction: SQLite has no writes inside a query. Nobody else can
-- write between them.

-- name: ReceiveMessage
-- The oldest message of a topic becomes the outcome of a step, once, while the attempt owns its workflow.
insert into operation_outputs ({recorded_columns})
select
    i.workflow_id, i.step_id, i.name, m.message, m.serialization, i.started_at_ms, i.completed_at_ms, i.epoch
from {input} as i
join notifications as m on m.sequence = (
    select min(n.sequence) from notifications as n
    where n.destination_uuid = i.workflow_id and n.topic = i.topic and n.consumed = 0
)
where exists (
    select 1 from workflow_status as w
    where w.workflow_uuid = i.workflow_id and w.epoch = i.epoch and w.completed_at is null
)
on conflict do nothing
returning output, serialization;

-- name: consume_message
-- Nobody receives it again. Follows a message that was received.
update notifications set consumed = 1, consumed_by_function_id = :step_id
where sequence = (
    select min(n.sequence) from notifications as n
    where n.destination_uuid = :workflow_id and n.topic = :topic and n.consumed = 0
);

-- name: received_message
-- What the step has recorded already, should the reply have been lost. Follows a message that was not received.
select output, serialization from operation_outputs
where workflow_uuid = :workflow_id and function_id = :step_id and epoch = :epoch;
