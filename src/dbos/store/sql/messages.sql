-- Messages between workflows: sending them, and what is asked about them. How one is received is said by each dialect.

-- name: SendMessage
-- A message, if its destination exists, has not got one of this id yet, and the attempt that sends it (if one does)
-- still owns its workflow. The lock keeps the destination from being deleted under the message and lets everything
-- else pass. Subqueries that lock are never turned into joins: rows are numbered in the order of the batch.
insert into {schema}.notifications (
    destination_uuid, message_uuid, topic, message, serialization, created_at_epoch_ms
)
select i.destination, i.message_id, i.topic, i.message, i.serialization, {now_ms}
from {input} as i
where exists (
    select 1 from {schema}.workflow_status as d where d.workflow_uuid = i.destination
    {lock_existence}
) and {attempt_goes_on}
on conflict do nothing
{returning_key:destination_uuid, message_uuid};

-- name: CheckpointSend
-- The step that sent a message, once, while its attempt owns the workflow, and only if the message is there.
insert into {schema}.operation_outputs (
    workflow_uuid, function_id, function_name, output, serialization, started_at_epoch_ms, completed_at_epoch_ms, epoch
)
select
    i.workflow_id, i.step_id, i.name, i.output, i.serialization, i.started_at_ms, i.completed_at_ms, i.epoch
from {input} as i
where exists (
    select 1 from {schema}.notifications as n
    where n.destination_uuid = i.destination and n.message_uuid = i.message_id
) and {attempt_owns}
on conflict do nothing
{returning_key:workflow_uuid, epoch, function_id};

-- fragment: recorded_columns
-- What the step of a received message holds.
workflow_uuid, function_id, function_name, output, serialization, started_at_epoch_ms, completed_at_epoch_ms, epoch

-- name: arrived
-- Does the destination exist, and has it got this message?
select
    exists (select 1 from {schema}.workflow_status as w where w.workflow_uuid = :destination),
    exists (
        select 1 from {schema}.notifications as n
        where n.destination_uuid = :destination and n.message_uuid = :message_id
    );

-- name: recipients
-- Those of the destinations that exist.
select workflow_uuid, workflow_uuid from {schema}.workflow_status where workflow_uuid in ({each:ids});

-- name: recipients_and_forks
-- The same, each with its forks, theirs, and so on.
with recursive families (root, id) as (
    select workflow_uuid, workflow_uuid from {schema}.workflow_status where workflow_uuid in ({each:ids})
    union
    select f.root, w.workflow_uuid
    from {schema}.workflow_status as w
    join families as f on w.forked_from = f.id
)
select root, id from families;

-- name: with_messages
-- Of these mailboxes, each a JSON pair of workflow and topic, those that hold a message.
select e.value from ({each:mailboxes}) as e
where exists (
    select 1 from {schema}.notifications as n
    where
        n.destination_uuid = {item:e.value, 0} and n.topic = {item:e.value, 1}
        and {not_consumed:n}
);
