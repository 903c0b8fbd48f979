-- The schema as it is now, for reading. The migrations build exactly this (a test compares them); nothing runs this file.
--
-- Table and column names follow the documented DBOS system tables where the meaning is the same, because users query
-- them. Ours are: sequence, epoch, executor_instance, outcome_serialization, and the tables executors,
-- queue_starts and deleted_workflows.
--
-- Times are milliseconds since 1970 on the clock of this database. `completed_at` is set exactly when the status is a
-- final one: SUCCESS, ERROR, CANCELLED or MAX_RECOVERY_ATTEMPTS_EXCEEDED. Only whoever holds the current `epoch` of a
-- PENDING workflow may write its steps and its outcome.
--
-- Rows live in `sequence` order (it is the rowid); steps live in their primary key (`without rowid`): one tree each.

create table dbos_migrations (
    version integer primary key,
    lineage text not null, -- marks the tables as this library's
    applied_at_ms integer not null
) strict;

create table workflow_status (
    sequence integer primary key, -- order of arrival: never a clock
    workflow_uuid text not null unique,
    status text not null,
    epoch integer not null, -- fences writers: +1 whenever someone else may write, never reset
    name text not null,
    class_name text,
    config_name text,
    inputs text,
    output text,
    error text,
    serialization text, -- codec of inputs
    outcome_serialization text, -- codec of output or error
    created_at integer not null,
    updated_at integer not null,
    completed_at integer, -- set exactly when the status is a final one
    started_at_epoch_ms integer,
    recovery_attempts integer not null default 0,
    executor_id text,
    executor_instance text, -- the owner of a PENDING workflow: executors.instance_id
    owner_xid text, -- names the call that created the row, to be known again after an unknown commit
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
    attributes text,
    debounce_token text -- the call of a debouncer that the inputs are from
) strict;

-- Only what is active is indexed, so that finished workflows cost nothing. Three exceptions serve people: listings in
-- order of creation, what has failed, and the children of a workflow.
create index workflow_created on workflow_status (created_at);
create index workflow_enqueued on workflow_status (queue_name, priority, sequence) where status = 'ENQUEUED';
create index workflow_pending on workflow_status (executor_instance) where status = 'PENDING';
create index workflow_deadline on workflow_status (workflow_deadline_epoch_ms)
    where workflow_deadline_epoch_ms is not null and status in ('PENDING', 'ENQUEUED', 'DELAYED');
create unique index workflow_deduplication on workflow_status (queue_name, deduplication_id)
    where deduplication_id is not null;
create index workflow_parent on workflow_status (parent_workflow_id) where parent_workflow_id is not null;
-- The waiting ones of a queue by partition; the running ones of a queue, which its limits count; and what is due when.
create index workflow_partition on workflow_status (queue_name, queue_partition_key, priority, sequence)
    where status = 'ENQUEUED' and queue_partition_key is not null;
create index workflow_running on workflow_status (queue_name, queue_partition_key)
    where status = 'PENDING' and queue_name is not null;
create index workflow_delayed on workflow_status (delay_until_epoch_ms) where status = 'DELAYED';

create table operation_outputs (
    workflow_uuid text not null,
    function_id integer not null,
    function_name text not null,
    output text,
    error text,
    serialization text, -- codec of output or error
    child_workflow_id text,
    started_at_epoch_ms integer,
    completed_at_epoch_ms integer,
    epoch integer not null, -- the attempt that recorded it
    primary key (workflow_uuid, function_id)
) strict, without rowid;

-- Which steps name a workflow: what an unfinished workflow still needs is kept.
create index operation_child on operation_outputs (child_workflow_id) where child_workflow_id is not null;

create table executors (
    instance_id text primary key,
    executor_id text not null,
    application_name text not null,
    application_version text not null,
    host text not null,
    pid integer not null,
    process_started text not null,
    started_at_ms integer not null,
    lease_expires_at_ms integer not null,
    queues text -- JSON list of those it serves
) strict, without rowid;

-- The queues that are defined here; others live in the memory of the processes that declare them.
create table queues (
    name text primary key,
    concurrency integer,
    worker_concurrency integer,
    rate_limit_max integer,
    rate_limit_period_sec real,
    priority_enabled integer not null,
    partition_queue integer not null, -- every limit above holds per partition
    polling_interval_sec real not null,
    created_at integer not null,
    updated_at integer not null,
    application_name text, -- null: anybody serves it
    partition_concurrency integer,
    partition_worker_concurrency integer,
    partition_rate_limit_max integer,
    partition_rate_limit_period_sec real
) strict;

-- What rate limits count: starts of the last period, written by the claim itself. Whatever becomes of the workflows
-- (cancelled, resumed elsewhere, deleted), they did start.
create table queue_starts (
    queue_name text not null,
    queue_partition_key text not null, -- '' where there are no partitions
    started_at_ms integer not null,
    starts integer not null,
    primary key (queue_name, queue_partition_key, started_at_ms)
) strict, without rowid;

-- The versions of applications. The one with the latest timestamp may run what was enqueued without a version.
create table application_versions (
    version_id text primary key,
    version_name text not null,
    version_timestamp integer not null,
    created_at integer not null,
    application_name text
) strict;

create unique index application_version_name on application_versions (application_name, version_name);

create table notifications (
    sequence integer primary key, -- order of receiving: never a clock
    destination_uuid text not null,
    message_uuid text not null, -- the idempotency key, or an id of ours: it arrives once per destination
    topic text not null, -- "" where there is none
    message text not null,
    serialization text, -- codec of message
    created_at_epoch_ms integer not null,
    consumed integer not null default 0,
    consumed_by_function_id integer, -- the step that received it
    unique (destination_uuid, message_uuid)
) strict;
-- Only messages that nobody has received yet are indexed by topic.
create index notification_waiting on notifications (destination_uuid, topic, sequence) where consumed = 0;

create table workflow_events (
    workflow_uuid text not null,
    key text not null,
    value text not null,
    serialization text, -- codec of value
    primary key (workflow_uuid, key)
) strict, without rowid;

-- What every step set, so that a fork can begin with the values as of a step.
create table workflow_events_history (
    workflow_uuid text not null,
    function_id integer not null, -- the step that set it
    key text not null,
    value text not null,
    serialization text, -- codec of value
    primary key (workflow_uuid, function_id, key)
) strict, without rowid;

-- Forks of a workflow, whom a message to it may reach as well.
create index workflow_forks on workflow_status (forked_from) where forked_from is not null;

-- Calls of debouncers, to be known again after an unknown commit.
create index workflow_debounced on workflow_status (debounce_token) where debounce_token is not null;

-- What has not succeeded, which is asked for most, and is rare.
create index workflow_failed on workflow_status (created_at)
    where status in ('ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED');

-- What others were forked from.
create index workflow_origins on workflow_status (created_at) where was_forked_from;

-- Written by `@DBOS.transaction` together with the user's data, if that is in this database: it is the proof that a
-- transaction was committed, even if its step was not recorded. Never written by the journal.
create table transaction_outputs (
    workflow_uuid text not null,
    function_id integer not null,
    function_name text not null,
    output text,
    error text,
    serialization text, -- codec of output or error
    life text not null, -- which workflow of this id: its owner_xid
    epoch integer not null, -- the attempt that wrote it
    executor_id text,
    txn_id text,
    txn_snapshot text not null,
    created_at integer not null,
    primary key (workflow_uuid, function_id)
) strict, without rowid;

-- The values of streams. Offsets count from 0 without a gap; the sentinel of a closed stream is its last value.
create table streams (
    workflow_uuid text not null,
    key text not null,
    "offset" integer not null,
    value text not null,
    serialization text, -- codec of value
    function_id integer not null, -- the step that wrote it, or inside which it was written
    epoch integer not null, -- the attempt that wrote it
    step_attempt integer, -- inside a step with retries: which of its attempts, from 0
    token text, -- names a write from inside a step, to be known again after an unknown commit
    written_at_ms integer not null,
    primary key (workflow_uuid, key, "offset")
) strict, without rowid;

create unique index stream_token on streams (token) where token is not null;

-- A row changes with every tick of its schedule.
create table workflow_schedules (
    schedule_name text primary key, -- the first half of the ids of its runs
    schedule_id text not null unique, -- tells a schedule from a later one of its name
    workflow_name text not null,
    workflow_class_name text,
    schedule text not null, -- the cron expression
    status text not null, -- ACTIVE or PAUSED
    context text not null,
    context_serialization text not null, -- codec of context
    automatic_backfill integer not null default 0,
    cron_timezone text, -- of the IANA database; null is UTC
    queue_name text, -- of its runs; null is the internal one
    application_name text,
    last_fired_at text, -- the last tick, ISO 8601 in its zone
    last_fired_at_ms integer, -- the same, to compare
    created_at integer not null,
    active_since integer not null -- defined so, or resumed: ticks before that are none of its own
) strict, without rowid;

-- Epochs of an id never restart: who ran the deleted workflow, and does not know, writes nothing into a later one.
-- Forgotten after a week, by later deletions.
create table deleted_workflows (
    workflow_uuid text primary key,
    next_epoch integer not null, -- of a later workflow of the id
    deleted_at integer not null
) strict, without rowid;

create index deleted_workflow_age on deleted_workflows (deleted_at);
