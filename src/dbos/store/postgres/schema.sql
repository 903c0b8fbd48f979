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
-- Functions are in migrations/postgres alone: 0012 enqueue_workflow, 0009 send_message, 0013 append_to_stream.
--
-- A planner trap, measured: `... and status = 'PENDING'` beside a primary key lets a plan made on stale statistics walk
-- the partial index of all pending workflows, a hundred times slower. Hot statements go by primary key, with a guard
-- (`epoch`, `completed_at is null`) that implies no partial index; so no partial index may be defined by those either.
-- Nor may hot statements say `completed_at is not null`, which defines the summaries of what has ended.

create table {schema}.dbos_migrations (
    version integer primary key,
    lineage text not null, -- marks the tables as this library's
    applied_at_ms bigint not null
);

create table {schema}.workflow_status (
    workflow_uuid text collate "C" primary key, -- compared byte by byte: cheaper, and prefixes can use the index
    sequence bigint generated always as identity, -- order of arrival: never a clock
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
    created_at bigint not null,
    updated_at bigint not null,
    completed_at bigint, -- set exactly when the status is a final one
    started_at_epoch_ms bigint,
    recovery_attempts bigint not null default 0,
    executor_id text,
    executor_instance text collate "C", -- the owner of a PENDING workflow: executors.instance_id
    owner_xid text, -- names the call that created the row, to be known again after an unknown commit
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
    queue_partition_key text collate "C", -- the order in which partitions have their turns
    rate_limited boolean not null default false,
    debounce_deadline_epoch_ms bigint,
    is_debounced boolean not null default false,
    forked_from text,
    was_forked_from boolean not null default false,
    parent_workflow_id text collate "C",
    schedule_name text,
    attributes jsonb,
    debounce_token text -- the call of a debouncer that the inputs are from
);

-- Only what is active is indexed, so that finished workflows cost nothing. Three exceptions serve people: listings in
-- order of creation, what has failed, and the children of a workflow.
create index workflow_created on {schema}.workflow_status (created_at);
create index workflow_enqueued on {schema}.workflow_status (queue_name, priority, sequence) where status = 'ENQUEUED';
create index workflow_pending on {schema}.workflow_status (executor_instance) where status = 'PENDING';
create index workflow_deadline on {schema}.workflow_status (workflow_deadline_epoch_ms)
    where workflow_deadline_epoch_ms is not null and status in ('PENDING', 'ENQUEUED', 'DELAYED');
create unique index workflow_deduplication on {schema}.workflow_status (queue_name, deduplication_id)
    where deduplication_id is not null;
create index workflow_parent on {schema}.workflow_status (parent_workflow_id) where parent_workflow_id is not null;
-- The waiting ones of a queue by partition; the running ones of a queue, which its limits count; and what is due when.
create index workflow_partition on {schema}.workflow_status (queue_name, queue_partition_key, priority, sequence)
    where status = 'ENQUEUED' and queue_partition_key is not null;
create index workflow_running on {schema}.workflow_status (queue_name, queue_partition_key)
    where status = 'PENDING' and queue_name is not null;
create index workflow_delayed on {schema}.workflow_status (delay_until_epoch_ms) where status = 'DELAYED';

create table {schema}.operation_outputs (
    workflow_uuid text collate "C" not null,
    function_id integer not null,
    function_name text not null,
    output text,
    error text,
    serialization text, -- codec of output or error
    child_workflow_id text,
    started_at_epoch_ms bigint,
    completed_at_epoch_ms bigint,
    epoch integer not null, -- the attempt that recorded it
    primary key (workflow_uuid, function_id)
);

-- A heartbeat changes no index, and finds room on its page.
-- Which steps name a workflow: what an unfinished workflow still needs is kept.
create index operation_child on {schema}.operation_outputs (child_workflow_id) where child_workflow_id is not null;

create table {schema}.executors (
    instance_id text collate "C" primary key,
    executor_id text not null,
    application_name text not null,
    application_version text not null,
    host text not null,
    pid integer not null,
    process_started text not null,
    started_at_ms bigint not null,
    lease_expires_at_ms bigint not null,
    queues text -- JSON list of those it serves
) with (fillfactor = 50);

-- The queues that are defined here; others live in the memory of the processes that declare them.
create table {schema}.queues (
    name text primary key,
    concurrency integer,
    worker_concurrency integer,
    rate_limit_max integer,
    rate_limit_period_sec double precision,
    priority_enabled boolean not null,
    partition_queue boolean not null, -- every limit above holds per partition
    polling_interval_sec double precision not null,
    created_at bigint not null,
    updated_at bigint not null,
    application_name text, -- null: anybody serves it
    partition_concurrency integer,
    partition_worker_concurrency integer,
    partition_rate_limit_max integer,
    partition_rate_limit_period_sec double precision
);

-- What rate limits count: starts of the last period, written by the claim itself. Whatever becomes of the workflows
-- (cancelled, resumed elsewhere, deleted), they did start.
create table {schema}.queue_starts (
    queue_name text not null,
    queue_partition_key text collate "C" not null, -- '' where there are no partitions
    started_at_ms bigint not null,
    starts integer not null,
    primary key (queue_name, queue_partition_key, started_at_ms)
);

-- The versions of applications. The one with the latest timestamp may run what was enqueued without a version.
create table {schema}.application_versions (
    version_id text collate "C" primary key,
    version_name text not null,
    version_timestamp bigint not null,
    created_at bigint not null,
    application_name text
);

create unique index application_version_name on {schema}.application_versions (application_name, version_name);

create table {schema}.notifications (
    destination_uuid text collate "C" not null,
    message_uuid text collate "C" not null, -- the idempotency key, or an id of ours: it arrives once per destination
    sequence bigint generated always as identity, -- order of receiving: never a clock
    topic text collate "C" not null, -- "" where there is none
    message text not null,
    serialization text, -- codec of message
    created_at_epoch_ms bigint not null,
    consumed boolean not null default false,
    consumed_by_function_id integer, -- the step that received it
    primary key (destination_uuid, message_uuid)
);
-- Only messages that nobody has received yet are indexed by topic.
create index notification_waiting on {schema}.notifications (destination_uuid, topic, sequence) where not consumed;

create table {schema}.workflow_events (
    workflow_uuid text collate "C" not null,
    key text collate "C" not null,
    value text not null,
    serialization text, -- codec of value
    primary key (workflow_uuid, key)
);

-- What every step set, so that a fork can begin with the values as of a step.
create table {schema}.workflow_events_history (
    workflow_uuid text collate "C" not null,
    function_id integer not null, -- the step that set it
    key text collate "C" not null,
    value text not null,
    serialization text, -- codec of value
    primary key (workflow_uuid, function_id, key)
);

-- Forks of a workflow, whom a message to it may reach as well.
create index workflow_forks on {schema}.workflow_status (forked_from) where forked_from is not null;

-- Calls of debouncers, to be known again after an unknown commit.
create index workflow_debounced on {schema}.workflow_status (debounce_token) where debounce_token is not null;

-- What has not succeeded, which is asked for most, and is rare.
create index workflow_failed on {schema}.workflow_status (created_at)
    where status in ('ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED');

-- What others were forked from.
create index workflow_origins on {schema}.workflow_status (created_at) where was_forked_from;

-- What few of the finished have is found by what each few blocks of the table hold. (Not before version 14, which knows
-- this kind of summary.)
do $$ begin
    if current_setting('server_version_num')::integer >= 140000 then
        create index workflow_traits on {schema}.workflow_status using brin (
            name text_bloom_ops (n_distinct_per_range = 200),
            application_name text_bloom_ops (n_distinct_per_range = 50),
            application_version text_bloom_ops (n_distinct_per_range = 50),
            executor_id text_bloom_ops (n_distinct_per_range = 100)
        ) with (pages_per_range = 32, autosummarize = on) where completed_at is not null;
        create index workflow_users on {schema}.workflow_status using brin (
            authenticated_user text_bloom_ops (n_distinct_per_range = 400)
        ) with (pages_per_range = 32, autosummarize = on)
        where completed_at is not null and authenticated_user is not null;
        create index workflow_queues on {schema}.workflow_status using brin (
            queue_name text_bloom_ops (n_distinct_per_range = 200)
        ) with (pages_per_range = 32, autosummarize = on)
        where completed_at is not null and queue_name is not null;
        create index workflow_schedule_names on {schema}.workflow_status using brin (
            schedule_name text_bloom_ops (n_distinct_per_range = 400)
        ) with (pages_per_range = 32, autosummarize = on)
        where completed_at is not null and schedule_name is not null;
    end if;
end $$;

-- Written by `@DBOS.transaction` together with the user's data, if that is in this database: it is the proof that a
-- transaction was committed, even if its step was not recorded. Never written by the journal.
create table {schema}.transaction_outputs (
    workflow_uuid text collate "C" not null,
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
    created_at bigint not null,
    primary key (workflow_uuid, function_id)
);

-- The values of streams. Offsets count from 0 without a gap; the sentinel of a closed stream is its last value.
create table {schema}.streams (
    workflow_uuid text collate "C" not null,
    key text collate "C" not null,
    "offset" bigint not null,
    value text not null,
    serialization text, -- codec of value
    function_id integer not null, -- the step that wrote it, or inside which it was written
    epoch integer not null, -- the attempt that wrote it
    step_attempt integer, -- inside a step with retries: which of its attempts, from 0
    token text collate "C", -- names a write from inside a step, to be known again after an unknown commit
    written_at_ms bigint not null,
    primary key (workflow_uuid, key, "offset")
);

create unique index stream_token on {schema}.streams (token) where token is not null;

-- A row changes with every tick of its schedule.
create table {schema}.workflow_schedules (
    schedule_name text collate "C" primary key, -- the first half of the ids of its runs
    schedule_id text collate "C" not null unique, -- tells a schedule from a later one of its name
    workflow_name text not null,
    workflow_class_name text,
    schedule text not null, -- the cron expression
    status text not null, -- ACTIVE or PAUSED
    context text not null,
    context_serialization text not null, -- codec of context
    automatic_backfill boolean not null default false,
    cron_timezone text, -- of the IANA database; null is UTC
    queue_name text, -- of its runs; null is the internal one
    application_name text,
    last_fired_at text, -- the last tick, ISO 8601 in its zone
    last_fired_at_ms bigint, -- the same, to compare
    created_at bigint not null,
    active_since bigint not null -- defined so, or resumed: ticks before that are none of its own
) with (fillfactor = 70);

-- Epochs of an id never restart: who ran the deleted workflow, and does not know, writes nothing into a later one.
-- Forgotten after a week, by later deletions.
create table {schema}.deleted_workflows (
    workflow_uuid text collate "C" primary key,
    next_epoch integer not null, -- of a later workflow of the id
    deleted_at bigint not null
);

create index deleted_workflow_age on {schema}.deleted_workflows (deleted_at);
