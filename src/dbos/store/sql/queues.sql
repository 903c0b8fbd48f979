-- The queues that are defined in the database, by name, and the versions of applications.

-- fragment: queue_columns
-- Named and ordered as Queues reads them.
q.name, q.concurrency, q.worker_concurrency, q.rate_limit_max, q.rate_limit_period_sec, q.partition_concurrency,
q.partition_worker_concurrency, q.partition_rate_limit_max, q.partition_rate_limit_period_sec, q.priority_enabled,
q.partition_queue, q.polling_interval_sec, q.application_name

-- name: load_queue
-- One definition.
select {queue_columns} from {schema}.queues as q where q.name = :queue_name;

-- name: load_served_queue
-- The same, if executors of this application go by it.
select {queue_columns} from {schema}.queues as q where q.name = :queue_name and {serves};

-- name: lock_queue
-- One definition, as it is now and stays until the end of this transaction.
select {queue_columns} from {schema}.queues as q where q.name = :queue_name {lock_definition};

-- name: list_queues
-- All definitions, or those that certain applications own.
select {queue_columns} from {schema}.queues as q
where :all = 1 or q.application_name in ({each:application_names}) or (:unowned = 1 and q.application_name is null)
order by q.created_at, q.name;

-- name: insert_queue
-- A new definition, if the name is free.
insert into {schema}.queues (
    name, concurrency, worker_concurrency, rate_limit_max, rate_limit_period_sec, partition_concurrency,
    partition_worker_concurrency, partition_rate_limit_max, partition_rate_limit_period_sec, priority_enabled,
    partition_queue, polling_interval_sec, application_name, created_at, updated_at
)
values (
    :queue_name, :concurrency, :worker_concurrency, :rate_limit_max, :rate_limit_period_sec, :partition_concurrency,
    :partition_worker_concurrency, :partition_rate_limit_max, :partition_rate_limit_period_sec, :priority_enabled,
    :partition_queue, :polling_interval_sec, :application_name, {now_ms}, {now_ms}
)
on conflict do nothing
returning name;

-- name: update_queue
-- Another definition under the same name and owner.
update {schema}.queues
set
    concurrency = :concurrency, worker_concurrency = :worker_concurrency, rate_limit_max = :rate_limit_max,
    rate_limit_period_sec = :rate_limit_period_sec, partition_concurrency = :partition_concurrency,
    partition_worker_concurrency = :partition_worker_concurrency,
    partition_rate_limit_max = :partition_rate_limit_max,
    partition_rate_limit_period_sec = :partition_rate_limit_period_sec, priority_enabled = :priority_enabled,
    partition_queue = :partition_queue, polling_interval_sec = :polling_interval_sec, updated_at = {now_ms}
where name = :queue_name;

-- name: delete_queue
-- What waits on it stays, until a queue of the name is defined again.
delete from {schema}.queues where name = :queue_name returning name;

-- ------------------------------------------------------------ versions

-- fragment: version_columns
v.version_id, v.version_name, v.version_timestamp, v.created_at, v.application_name

-- fragment: next_version_timestamp
-- Now, and later than any other of the application: two launches of one millisecond have an order as well.
(
    select coalesce(max(case when v.version_timestamp >= {now_ms} then v.version_timestamp + 1 end), {now_ms})
    from {schema}.application_versions as v
    where v.application_name = :application_name
)

-- name: register_version
-- A launch announces its version. One that is known keeps its place.
insert into {schema}.application_versions (
    version_id, version_name, version_timestamp, created_at, application_name
)
values (:version_id, :version_name, {next_version_timestamp}, {now_ms}, :application_name)
on conflict do nothing;

-- name: promote_version
-- Make a version the latest one.
update {schema}.application_versions set version_timestamp = {next_version_timestamp}
where version_name = :version_name and application_name = :application_name
returning version_name;

-- name: owners_of_version
-- The applications that have a version of this name.
select v.application_name from {schema}.application_versions as v where v.version_name = :version_name;

-- name: list_versions
-- The versions of an application, or of all, the latest first.
select {version_columns} from {schema}.application_versions as v
where :all = 1 or v.application_name = :application_name
order by v.version_timestamp desc, v.version_name desc
limit :limit;
