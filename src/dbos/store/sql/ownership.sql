-- Which application owns what, in a database that several share; and another name for one.

-- fragment: owned_before
-- By the old name, or by nobody if such rows are adopted.
(application_name = :old or (:unclaimed = 1 and application_name is null))

-- name: rename_queues
-- The definitions of queues.
update {schema}.queues set application_name = :new where {owned_before} returning name;

-- name: rename_schedules
-- The schedules.
update {schema}.workflow_schedules set application_name = :new where {owned_before} returning schedule_name;

-- name: rename_versions
-- The versions, unless the new name has one of the same name.
update {schema}.application_versions set application_name = :new
where {owned_before} and not exists (
    select 1 from {schema}.application_versions as v
    where v.application_name = :new and v.version_name = application_versions.version_name
)
returning version_id;

-- name: forget_versions
-- Those that it has are the same.
delete from {schema}.application_versions where application_name = :old;

-- name: rename_executors
-- Launches whose workflows may have to be recovered.
update {schema}.executors set application_name = :new where application_name = :old;

-- name: rename_unfinished
-- All that is on its way.
update {schema}.workflow_status set application_name = :new
where {owned_before} and status in ('PENDING', 'ENQUEUED', 'DELAYED')
returning workflow_uuid;

-- name: finished_to_rename
-- A page of what has ended, in order of the ids.
select w.workflow_uuid from {schema}.workflow_status as w
where
    w.workflow_uuid > :after and w.completed_at is not null
    and (w.application_name = :old or (:unclaimed = 1 and w.application_name is null))
order by w.workflow_uuid
limit :limit;

-- name: rename_workflows
-- Such a page.
update {schema}.workflow_status set application_name = :new where workflow_uuid in ({each:ids}) and {owned_before}
returning workflow_uuid;

-- name: count_steps
-- How many steps workflows have. Whose they are, their workflow says.
select count(*) from {schema}.operation_outputs where workflow_uuid in ({each:ids});
