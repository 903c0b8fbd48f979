-- Schedules: what is asked about them, and every change. Those that come from workflows are records of the journal,
-- with the guard of the attempt as explained in journal.sql.

-- fragment: schedule_columns
schedule_id, schedule_name, workflow_name, workflow_class_name, schedule, status, context, context_serialization,
automatic_backfill, cron_timezone, queue_name, application_name, last_fired_at, last_fired_at_ms, created_at,
active_since

-- name: load_schedules
-- Schedules by name, whoever owns them.
select {schedule_columns} from {schema}.workflow_schedules where schedule_name in ({each:names});

-- name: list_schedules
-- The schedules of one application and those that nobody owns, or (null) all.
select {schedule_columns} from {schema}.workflow_schedules
where :all = 1 or application_name is null or application_name in ({each:applications})
order by schedule_name;

-- name: apply_schedule
-- Define a schedule anew; what it has been through stays. Another application's is left alone, and not returned.
insert into {schema}.workflow_schedules (
    schedule_id, schedule_name, workflow_name, workflow_class_name, schedule, status, context, context_serialization,
    automatic_backfill, cron_timezone, queue_name, application_name, created_at, active_since
)
values (
    :schedule_id, :schedule_name, :workflow_name, :workflow_class_name, :schedule, 'ACTIVE', :context,
    :context_serialization, :automatic_backfill, :cron_timezone, :queue_name, :application_name, {now_ms}, {now_ms}
)
on conflict (schedule_name) do update set
    workflow_name = excluded.workflow_name, workflow_class_name = excluded.workflow_class_name,
    schedule = excluded.schedule, context = excluded.context, context_serialization = excluded.context_serialization,
    automatic_backfill = excluded.automatic_backfill, cron_timezone = excluded.cron_timezone,
    queue_name = excluded.queue_name,
    application_name = coalesce(excluded.application_name, workflow_schedules.application_name),
    active_since = case
        when workflow_schedules.schedule = excluded.schedule
            and coalesce(workflow_schedules.cron_timezone, '') = coalesce(excluded.cron_timezone, '')
        then workflow_schedules.active_since
        else excluded.active_since
    end
where
    workflow_schedules.application_name is null or excluded.application_name is null
    or workflow_schedules.application_name = excluded.application_name
returning schedule_name;

-- ------------------------------------------------------------ records of the journal

-- name: CreateSchedule
-- A new schedule, if its name is free.
insert into {schema}.workflow_schedules (
    schedule_id, schedule_name, workflow_name, workflow_class_name, schedule, status, context, context_serialization,
    automatic_backfill, cron_timezone, queue_name, application_name, created_at, active_since
)
select
    i.schedule_id, i.schedule_name, i.workflow_name, i.workflow_class_name, i.schedule, 'ACTIVE', i.context,
    i.context_serialization, i.automatic_backfill, i.cron_timezone, i.queue_name, i.application_name,
    {now_ms}, {now_ms}
from {input} as i
where {attempt_goes_on}
on conflict do nothing
{returning_key:schedule_id};

-- name: SetScheduleState
-- Pause or resume; one that is resumed is interested in ticks from now on.
update {schema}.workflow_schedules
set
    status = i.status,
    active_since = case when i.status = 'ACTIVE' then {now_ms} else workflow_schedules.active_since end
from {input} as i
where
    workflow_schedules.schedule_name = i.schedule_name and workflow_schedules.status <> i.status
    and (
        i.application_name is null or workflow_schedules.application_name is null
        or workflow_schedules.application_name = i.application_name
    )
    and {attempt_goes_on}
{returning_key:workflow_schedules.schedule_name};

-- name: DeleteSchedule
-- Forget a schedule. (SQLite knows no `delete ... using`.)
delete from {schema}.workflow_schedules
where schedule_name in (
    select s.schedule_name
    from {input} as i
    join {schema}.workflow_schedules as s on s.schedule_name = i.schedule_name
    where
        (i.application_name is null or s.application_name is null or s.application_name = i.application_name)
        and {attempt_goes_on}
)
{returning_key:schedule_name};

-- name: ScheduleFired
-- The last tick that was enqueued. A later one may have been marked by another process. One that was found due right
-- before the schedule was paused is none of its own.
update {schema}.workflow_schedules
set last_fired_at = i.fired_at, last_fired_at_ms = i.fired_at_ms
from {input} as i
where
    workflow_schedules.schedule_id = i.schedule_id
    and workflow_schedules.active_since = i.active_since and workflow_schedules.status = 'ACTIVE'
    and coalesce(workflow_schedules.last_fired_at_ms, 0) < i.fired_at_ms
{returning_key:workflow_schedules.schedule_id};
