-- Schedules of workflows. schema.sql explains the columns.

create table workflow_schedules (
    schedule_name text primary key,
    schedule_id text not null unique,
    workflow_name text not null,
    workflow_class_name text,
    schedule text not null,
    status text not null,
    context text not null,
    context_serialization text not null,
    automatic_backfill integer not null default 0,
    cron_timezone text,
    queue_name text,
    application_name text,
    last_fired_at text,
    last_fired_at_ms integer,
    created_at integer not null,
    active_since integer not null
) strict, without rowid;
