-- Workflows, their steps, and the executors that run them. schema.sql explains the columns.

create table workflow_status (
    sequence integer primary key,
    workflow_uuid text not null unique,
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
    created_at integer not null,
    updated_at integer not null,
    completed_at integer,
    started_at_epoch_ms integer,
    recovery_attempts integer not null default 0,
    executor_id text,
    executor_instance text,
    owner_xid text,
    application_name text,
    application_version text,
    application_id text,
    authenticated_user text,
    assumed_role text,
    authenticated_roles text,
    request text,
    queue_name text,
    workflow_timeout_ms integer,
    workflow_deadline_epoch_ms integer,
    delay_until_epoch_ms integer,
    deduplication_id text,
    priority integer not null default 0,
    queue_partition_key text,
    rate_limited integer not null default 0,
    debounce_deadline_epoch_ms integer,
    is_debounced integer not null default 0,
    forked_from text,
    was_forked_from integer not null default 0,
    parent_workflow_id text,
    schedule_name text,
    attributes text
) strict;

create index workflow_created on workflow_status (created_at);
create index workflow_enqueued on workflow_status (queue_name, priority, sequence) where status = 'ENQUEUED';
create index workflow_pending on workflow_status (executor_instance) where status = 'PENDING';
create index workflow_deadline on workflow_status (workflow_deadline_epoch_ms)
    where workflow_deadline_epoch_ms is not null and status in ('PENDING', 'ENQUEUED', 'DELAYED');
create unique index workflow_deduplication on workflow_status (queue_name, deduplication_id)
    where deduplication_id is not null;
create index workflow_parent on workflow_status (parent_workflow_id) where parent_workflow_id is not null;

create table operation_outputs (
    workflow_uuid text not null,
    function_id integer not null,
    function_name text not null,
    output text,
    error text,
    serialization text,
    child_workflow_id text,
    started_at_epoch_ms integer,
    completed_at_epoch_ms integer,
    epoch integer not null,
    primary key (workflow_uuid, function_id)
) strict, without rowid;

create table executors (
    instance_id text primary key,
    executor_id text not null,
    application_name text not null,
    application_version text not null,
    host text not null,
    pid integer not null,
    process_started text not null,
    started_at_ms integer not null,
    lease_expires_at_ms integer not null
) strict, without rowid;
