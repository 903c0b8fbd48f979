-- Retention: finished workflows that are old, and that no unfinished one needs. See retention.py.

-- fragment: of_this_application
(:all = 1 or w.application_name is null or w.application_name = :application_name)

-- name: old_workflows
-- A page of workflows in order of creation, and which of them may go.
select
    w.workflow_uuid, w.created_at, w.sequence,
    w.completed_at is not null and w.completed_at < :ended_before_ms
    and not exists (
        select 1 from {schema}.workflow_status as p
        where p.workflow_uuid = w.parent_workflow_id and p.completed_at is null
    )
    and not exists (
        select 1 from {schema}.workflow_status as c
        where c.parent_workflow_id = w.workflow_uuid and c.completed_at is null
    )
    and not exists (
        select 1 from {schema}.workflow_status as f
        where f.forked_from = w.workflow_uuid and f.completed_at is null
    )
    and not exists (
        select 1 from {schema}.operation_outputs as o
        join {schema}.workflow_status as r on r.workflow_uuid = o.workflow_uuid
        where o.child_workflow_id = w.workflow_uuid and r.completed_at is null
    )
from {schema}.workflow_status as w
where
    w.created_at < :created_before_ms and w.created_at >= :after_created_at
    and (w.created_at > :after_created_at or w.sequence > :after_sequence)
    and {of_this_application}
order by w.created_at, w.sequence
limit :limit;

-- name: lock_finished
-- Those of them that are free, and have not been resumed since.
select w.workflow_uuid from {schema}.workflow_status as w
where w.workflow_uuid in ({each:ids}) and w.completed_at is not null
order by w.workflow_uuid
{lock_free_to_delete};

-- name: nth_newest
-- When it was created.
select w.created_at from {schema}.workflow_status as w
where {of_this_application}
order by w.created_at desc
limit 1 offset :offset;

-- name: unfinished_before
-- What has been on its way since before a moment.
select w.workflow_uuid from {schema}.workflow_status as w
where
    w.status in ('PENDING', 'ENQUEUED', 'DELAYED') and w.created_at < :created_before_ms and w.workflow_uuid > :after
    and {of_this_application}
order by w.workflow_uuid
limit :limit;
