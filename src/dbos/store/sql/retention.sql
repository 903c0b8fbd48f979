-- Retention: finished workflows that are old, and that no unfinished one needs. See retention.py.

-- fragment: of_this_application
(:all = 1 or w.application_name is null or w.application_name = :application_name)

-- name: old_workflows
-- A page of workflows in order of creation, and which of them have ended long enough ago.
select w.workflow_uuid, w.created_at, w.sequence, w.completed_at is not null and w.completed_at < :ended_before_ms
from {schema}.workflow_status as w
where
    w.created_at < :created_before_ms and w.created_at >= :after_created_at
    and (w.created_at > :after_created_at or w.sequence > :after_sequence)
    and {of_this_application}
order by w.created_at, w.sequence
limit :limit;

-- name: relatives
-- Who needs one of these workflows as long as it has not ended itself, whether it has, and whether it may ask for what
-- that one came to: its parent and those whose steps name it may, its children and the forks of it do not.
select r.id, w.workflow_uuid, w.completed_at is not null, r.asks
from (
    select c.workflow_uuid as id, c.parent_workflow_id as relative, 1 as asks
    from {schema}.workflow_status as c
    where c.workflow_uuid in ({each:ids}) and c.parent_workflow_id is not null
    union all
    select o.child_workflow_id, o.workflow_uuid, 1
    from {schema}.operation_outputs as o where o.child_workflow_id in ({each:ids})
    union all
    select c.parent_workflow_id, c.workflow_uuid, 0
    from {schema}.workflow_status as c where c.parent_workflow_id in ({each:ids})
    union all
    select f.forked_from, f.workflow_uuid, 0
    from {schema}.workflow_status as f where f.forked_from in ({each:ids})
) as r
join {schema}.workflow_status as w on w.workflow_uuid = r.relative;

-- name: lock_finished
-- Those of them that are free, and have not been reopened since. (Said more plainly, a plan could go by the summaries of
-- everything finished: see schema.sql.)
select w.workflow_uuid from {schema}.workflow_status as w
where w.workflow_uuid in ({each:ids}) and coalesce(w.completed_at, 0) > 0
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
