-- Queues that are defined in the database, what their limits go by, and the versions of applications.

create table {schema}.queues (
    name text primary key,
    concurrency integer,
    worker_concurrency integer,
    rate_limit_max integer,
    rate_limit_period_sec double precision,
    priority_enabled boolean not null,
    partition_queue boolean not null,
    polling_interval_sec double precision not null,
    created_at bigint not null,
    updated_at bigint not null,
    application_name text,
    partition_concurrency integer,
    partition_worker_concurrency integer,
    partition_rate_limit_max integer,
    partition_rate_limit_period_sec double precision
);

create table {schema}.queue_starts (
    queue_name text not null,
    queue_partition_key text collate "C" not null,
    started_at_ms bigint not null,
    starts integer not null,
    primary key (queue_name, queue_partition_key, started_at_ms)
);

create table {schema}.application_versions (
    version_id text collate "C" primary key,
    version_name text not null,
    version_timestamp bigint not null,
    created_at bigint not null,
    application_name text
);

create unique index application_version_name on {schema}.application_versions (application_name, version_name);

alter table {schema}.workflow_status alter column queue_partition_key type text collate "C";

create index workflow_partition on {schema}.workflow_status (queue_name, queue_partition_key, priority, sequence)
    where status = 'ENQUEUED' and queue_partition_key is not null;
create index workflow_running on {schema}.workflow_status (queue_name, queue_partition_key)
    where status = 'PENDING' and queue_name is not null;
create index workflow_delayed on {schema}.workflow_status (delay_until_epoch_ms) where status = 'DELAYED';

alter table {schema}.executors add column queues text;
