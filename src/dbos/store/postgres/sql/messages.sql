-- Receiving a message is several writes that depend on each other: on Postgres, one statement.

-- name: ReceiveMessage
-- The oldest message of a topic that nobody has received becomes the outcome of a step, while the attempt owns its
-- workflow. What the step has recorded already is told again, should the reply have been lost.
--
-- Where no message waits nothing is locked: the guard hangs on the message. All parts see the tables as they were when
-- the statement began, and only a row that had to be waited for is looked at again: therefore the message itself says
-- whether it is still to be had. There is no `on conflict`: a step recorded twice must fail, not lose the message.
with due as materialized (
    select i.workflow_id, i.epoch, i.step_id, i.name, i.started_at_ms, i.completed_at_ms, i.topic, oldest.sequence
    from {input} as i
    cross join lateral (
        select n.destination_uuid, n.sequence from {schema}.notifications as n
        where n.destination_uuid = i.workflow_id and n.topic = i.topic and not n.consumed
        order by n.sequence
        limit 1
    ) as oldest
    where not exists (
        select 1 from {schema}.operation_outputs as o
        where o.workflow_uuid = i.workflow_id and o.function_id = i.step_id
    ) and exists (
        select 1 from {schema}.workflow_status as w
        where w.workflow_uuid = oldest.destination_uuid and w.epoch = i.epoch and w.completed_at is null
        {lock}
    )
), taken as (
    update {schema}.notifications as n set consumed = true, consumed_by_function_id = due.step_id
    from due
    where
        n.destination_uuid = due.workflow_id and n.topic = due.topic and n.sequence = due.sequence and not n.consumed
    returning
        due.workflow_id, due.step_id, due.name, n.message, n.serialization, due.started_at_ms, due.completed_at_ms,
        due.epoch
), recorded as (
    insert into {schema}.operation_outputs ({recorded_columns})
    select workflow_id, step_id, name, message, serialization, started_at_ms, completed_at_ms, epoch from taken
    returning workflow_uuid, epoch, function_id, output, serialization
)
select workflow_uuid, epoch, function_id, output, serialization from recorded
union all
select o.workflow_uuid, o.epoch, o.function_id, o.output, o.serialization
from {input} as i
join {schema}.operation_outputs as o
    on o.workflow_uuid = i.workflow_id and o.function_id = i.step_id and o.epoch = i.epoch;
