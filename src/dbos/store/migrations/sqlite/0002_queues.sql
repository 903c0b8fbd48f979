-- Queues that are defined in the database, what their limits go by, and the versions of applications.

create table queues (
    name text primary key,
    concurrency integer,
    worker_concurrency integer,
    rate_limit_max integer,
    rate_limit_period_sec real,
    priority_enabled integer not null,
    partition_queue integer not null,
    polling_interval_sec real not null,
    created_at integer not null,
    updated_at integer not null,
    application_name text,
    partition_concurrency integer,
    partition_worker_concurrency integer,
    partition_rate_limit_max integer,
    partition_rate_limit_period_sec real
) strict;

create table queue_starts (
    queue_name text not null,
    queue_partition_key text not null,
    started_at_ms integer not null,
    starts integer not null,
    primary key (queue_name, queue_partition_key, started_at_ms)
) strict, without rowid;

create table application_versions (
    version_id text primary key,
    version_name text not null,
    version_timestamp integer not null,
    created_at integer not null,
    application_name text
) strict;

create unique index application_version_name on application_versions (application_name, version_name);

create index workflow_partition on workflow_status (queue_name, queue_partition_key, priority, sequence)
    where status = 'ENQUEUED' and queue_partition_key is not null;
create index workflow_running on workflow_status (queue_name, queue_partition_key)
    where status = 'PENDING' and queue_name is not null;
create index workflow_delayed on workflow_status (delay_until_epoch_ms) where status = 'DELAYED';

alter table executors add column queues text;
