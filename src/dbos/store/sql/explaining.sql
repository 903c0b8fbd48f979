-- Why a workflow stands where it stands: what those ask who wonder. Nothing is counted beyond a bound.

-- name: circumstances
-- The time; of a workflow on a queue how many are ahead of it, how many of the queue and of its partition run; and the
-- latest version of its application.
select
    {now_ms},
    (
        select count(*) from (
            select 1 from {schema}.workflow_status as a
            where
                a.status = 'ENQUEUED' and a.queue_name = w.queue_name
                and (a.priority, a.sequence) < (w.priority, w.sequence)
            limit :most
        ) as ahead
    ),
    (
        select count(*) from (
            select 1 from {schema}.workflow_status as r
            where r.status = 'PENDING' and r.queue_name = w.queue_name
            limit :most
        ) as running
    ),
    (
        select count(*) from (
            select 1 from {schema}.workflow_status as r
            where
                r.status = 'PENDING' and r.queue_name = w.queue_name
                and r.queue_partition_key = w.queue_partition_key
            limit :most
        ) as running
    ),
    (
        select v.version_name from {schema}.application_versions as v
        where v.application_name = w.application_name
        order by v.version_timestamp desc, v.version_name desc
        limit 1
    )
from {schema}.workflow_status as w
where w.workflow_uuid = :workflow_id;

-- name: executors_for
-- The living executors of an application (of all, without one), and the one that owns the workflow, dead or alive.
select
    e.instance_id, e.executor_id, e.application_version, e.host, e.pid,
    e.lease_expires_at_ms - {lease_now_ms}, e.queues
from {schema}.executors as e
where
    e.instance_id = :owner
    or (
        e.lease_expires_at_ms >= {lease_now_ms}
        and (cast(:application_name as text) is null or e.application_name = :application_name)
    )
order by e.started_at_ms;

-- name: last_step
-- The step that a workflow has recorded under the highest number.
select {step_columns} from {schema}.operation_outputs
where workflow_uuid = :workflow_id
order by function_id desc
limit 1;
