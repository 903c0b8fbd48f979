-- Workflows, their steps, and the executors that run them. schema.sql explains the columns.

create table {schema}.workflow_status (
    workflow_uuid text collate "C" primary key,
    sequence bigint generated always as identity,
    status text not null,
    epoch integer not null,
    name text not null,
    class_name text,
    config_name text,
    inputs text,
    output text,
    error text,
    serialization text,
    outcome_serialization text,
    created_at bigint not null,
    updated_at bigint not null,
    completed_at bigint,
    started_at_epoch_ms bigint,
    recovery_attempts bigint not null default 0,
    executor_id text,
    executor_instance text collate "C",
    owner_xid text,
    application_name text,
    application_version text,
    application_id text,
    authenticated_user text,
    assumed_role text,
    authenticated_roles text,
    request text,
    queue_name text,
    workflow_timeout_ms bigint,
    workflow_deadline_epoch_ms bigint,
    delay_until_epoch_ms bigint,
    deduplication_id text,
    priority integer not null default 0,
    queue_partition_key text,
    rate_limited boolean not null default false,
    debounce_deadline_epoch_ms bigint,
    is_debounced boolean not null default false,
    forked_from text,
    was_forked_from boolean not null default false,
    parent_workflow_id text collate "C",
    schedule_name text,
    attributes jsonb
);

create index workflow_created on {schema}.workflow_status (created_at);
create index workflow_enqueued on {schema}.workflow_status (queue_name, priority, sequence) where status = 'ENQUEUED';
create index workflow_pending on {schema}.workflow_status (executor_instance) where status = 'PENDING';
create index workflow_deadline on {schema}.workflow_status (workflow_deadline_epoch_ms)
    where workflow_deadline_epoch_ms is not null and status in ('PENDING', 'ENQUEUED', 'DELAYED');
create unique index workflow_deduplication on {schema}.workflow_status (queue_name, deduplication_id)
    where deduplication_id is not null;
create index workflow_parent on {schema}.workflow_status (parent_workflow_id) where parent_workflow_id is not null;

create table {schema}.operation_outputs (
    workflow_uuid text collate "C" not null,
    function_id integer not null,
    function_name text not null,
    output text,
    error text,
    serialization text,
    child_workflow_id text,
    started_at_epoch_ms bigint,
    completed_at_epoch_ms bigint,
    epoch integer not null,
    primary key (workflow_uuid, function_id)
);

create table {schema}.executors (
    instance_id text collate "C" primary key,
    executor_id text not null,
    application_name text not null,
    application_version text not null,
    host text not null,
    pid integer not null,
    process_started text not null,
    started_at_ms bigint not null,
    lease_expires_at_ms bigint not null
) with (fillfactor = 50);
