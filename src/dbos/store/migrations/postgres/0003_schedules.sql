-- Schedules of workflows. schema.sql explains the columns.

create table {schema}.workflow_schedules (
    schedule_name text collate "C" primary key,
    schedule_id text collate "C" not null unique,
    workflow_name text not null,
    workflow_class_name text,
    schedule text not null,
    status text not null,
    context text not null,
    context_serialization text not null,
    automatic_backfill boolean not null default false,
    cron_timezone text,
    queue_name text,
    application_name text,
    last_fired_at text,
    last_fired_at_ms bigint,
    created_at bigint not null,
    active_since bigint not null
) with (fillfactor = 70);
