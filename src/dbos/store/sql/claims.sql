-- Claiming from queues: who waits where, how much of each limit is used, and taking what fits.
--
-- Limits that executors share are counted and claimed by in one transaction under `lock_claims`; each statement in it
-- sees what was committed before the lock. What counts as running is a row that is PENDING, so a slot is free in the
-- very transaction in which its workflow is finished, cancelled or given back.

-- name: lock_claims
-- Until the end of this transaction nobody else claims from this queue by limits that are shared, nor redefines it.
-- SQLite has one writer: its transaction is the lock.
select 1;

-- name: try_lock_claims
-- The same without waiting: is it ours?
select 1;

-- name: try_share_claims
-- Until the end of this transaction nobody defines this queue. Whoever claims without limits may share that.
select 1;

-- ------------------------------------------------------------ looking

-- fragment: waits
-- Is there anything on the queue? (Not `exists`, which may be planned as one scan of everything that waits.)
select 1 from {schema}.workflow_status as w where w.status = 'ENQUEUED' and w.queue_name =

-- fragment: serves
-- Definitions in the database that executors of this application go by.
(q.application_name is null or q.application_name = :application_name)

-- name: survey
-- Everything that the dispatcher asks when nothing happens, about all queues at once: the definitions in the database,
-- then the declared names that have none there; whether anything waits; and in how long the next delay is over.
select
    {queue_columns}, 1,
    ({waits} q.name limit 1),
    (select min(d.delay_until_epoch_ms) - {now_ms} from {schema}.workflow_status as d where d.status = 'DELAYED')
from {schema}.queues as q
where {serves}
union all
select
    e.value, null, null, null, null, null, null, null, null, null, null, null, null, 0,
    ({waits} e.value limit 1),
    (select min(d.delay_until_epoch_ms) - {now_ms} from {schema}.workflow_status as d where d.status = 'DELAYED')
from ({each:declared}) as e
where e.value not in (select q.name from {schema}.queues as q where {serves});

-- name: promote_delayed
-- What is due leaves its delay and waits in its queue, in its old place. Of a debounced workflow the inputs are settled
-- now: its key is free for the next one.
with chosen as (
    select w.workflow_uuid as id from {schema}.workflow_status as w
    where w.status = 'DELAYED' and w.delay_until_epoch_ms <= {now_ms}
    limit :limit
    {lock_free_rows}
)
update {schema}.workflow_status
set
    status = 'ENQUEUED', epoch = epoch + 1, updated_at = {now_ms},
    deduplication_id = case when not is_debounced then deduplication_id end
where workflow_uuid in (select id from chosen)
returning queue_name;

-- ------------------------------------------------------------ counting

-- fragment: in_window
-- Starts that a rate limit counts. What seems to lie further ahead than a period is left of a clock that jumped back.
s.started_at_ms > {now_ms} - cast(:period_ms as bigint) and s.started_at_ms <= {now_ms} + cast(:period_ms as bigint)

-- name: usage
-- How much of the limits of a queue is used; null for what is not asked.
select
    case when :count_running = 1 then (
        select count(*) from {schema}.workflow_status as w where w.status = 'PENDING' and w.queue_name = :queue_name
    ) end,
    case when :count_running_here = 1 then (
        select count(*) from {schema}.workflow_status as w
        where w.status = 'PENDING' and w.queue_name = :queue_name and w.executor_instance = :instance
    ) end,
    case when :count_starts = 1 then (
        select sum(s.starts) from {schema}.queue_starts as s where s.queue_name = :queue_name and {in_window}
    ) end;

-- name: record_starts
-- Count the starts of just now, per partition.
insert into {schema}.queue_starts (queue_name, queue_partition_key, started_at_ms, starts)
select cast(:queue_name as text), e.key, {now_ms}, cast(e.value as integer)
from {each_pair}(cast(:starts as {json})) as e
where true
on conflict (queue_name, queue_partition_key, started_at_ms)
do update set starts = queue_starts.starts + excluded.starts;

-- name: forget_starts
-- Drop what no window holds any more.
delete from {schema}.queue_starts
where queue_name = :queue_name and started_at_ms <= {now_ms} - cast(:period_ms as bigint);

-- name: rate_opens
-- In how many milliseconds the oldest start leaves the window.
select min(s.started_at_ms) + cast(:period_ms as bigint) - {now_ms}
from {schema}.queue_starts as s
where s.queue_name = :queue_name and {in_window};

-- ------------------------------------------------------------ taking

-- fragment: may_be_claimed
-- Ours to start here. Without a version it runs on the latest one; as long as none is registered, any is.
{of_our_application}
and (
    w.application_version = :application_version
    or (w.application_version is null and :application_version = coalesce({latest_version}, :application_version))
)
and {registered_here}
and (w.workflow_uuid, w.epoch) not in (
    select a.key, cast(a.value as integer) from {each_pair}(cast(:set_aside as {json})) as a
)

-- fragment: latest_version
(
    select v.version_name from {schema}.application_versions as v
    where v.application_name = :application_name
    order by v.version_timestamp desc, v.version_name desc
    limit 1
)

-- fragment: claimed
-- Running from now on, and so is the time it is given.
{taken}, started_at_epoch_ms = {now_ms}, rate_limited = :rate_limited,
workflow_deadline_epoch_ms = coalesce(workflow_deadline_epoch_ms, {now_ms} + workflow_timeout_ms)

-- fragment: still_unshared
-- Claims without the lock of the queue go by what was read before. Has the definition in the database, if there was one
-- (1), still no limit that executors share? Is there still none, if there was none (0)? That cannot change before this is
-- committed.
case cast(:stored as integer)
    when 1 then exists (
        select 1 from {schema}.queues as q
        where
            q.name = :queue_name and q.concurrency is null and q.rate_limit_max is null
            and coalesce(q.worker_concurrency, 0) = :worker_concurrency and not q.partition_queue
            and q.partition_concurrency is null and q.partition_worker_concurrency is null
            and q.partition_rate_limit_max is null
        {hold_definition}
    )
    when 0 then not exists (select 1 from {schema}.queues as q where q.name = :queue_name and {serves})
    else true
end

-- name: claim
-- Take the first enqueued workflows of a queue.
with chosen as (
    select w.workflow_uuid as id from {schema}.workflow_status as w
    where w.status = 'ENQUEUED' and w.queue_name = :queue_name and {may_be_claimed} and {still_unshared}
    order by w.priority, w.sequence
    limit :limit
    {lock_free_rows}
)
update {schema}.workflow_status set {claimed} where workflow_uuid in (select id from chosen)
returning {workflow_columns}, sequence;

-- fragment: waiting_in_partitions
-- Said like this the index of partitions serves it.
w.status = 'ENQUEUED' and w.queue_partition_key is not null and w.queue_name = :queue_name

-- fragment: next_partition
-- The first partition beyond a key.
select w.queue_partition_key from {schema}.workflow_status as w where {waiting_in_partitions} and w.queue_partition_key >

-- fragment: partitions
-- The partitions of a queue that have something waiting, from key to key: one step of an index each, however much
-- waits in them. Or those that are named. An empty key comes before all others.
walk (key) as (
    select ({next_partition} cast(:after as text) order by w.queue_partition_key limit 1) where :named = 0
    union all
    select ({next_partition} walk.key order by w.queue_partition_key limit 1) from walk where walk.key is not null
),
partitions as (
    select cast('' as text) as key where :named = 0 and cast(:after as text) = ''
    union all
    select walk.key from walk where walk.key is not null
    union all
    select value from ({each:keys}) as e where :named = 1
)

-- fragment: free_in_partition
-- How many more may start in a partition. A limit of 2147483647 is none.
{least}(
    case when :concurrency < 2147483647 then :concurrency - (
        select count(*) from {schema}.workflow_status as w
        where w.status = 'PENDING' and w.queue_name = :queue_name and w.queue_partition_key = p.key
    ) else 2147483647 end,
    case when :worker_concurrency < 2147483647 then :worker_concurrency - (
        select count(*) from {schema}.workflow_status as w
        where
            w.status = 'PENDING' and w.queue_name = :queue_name and w.queue_partition_key = p.key
            and w.executor_instance = :instance
    ) else 2147483647 end,
    case when :starts_per_period < 2147483647 then :starts_per_period - (
        select coalesce(sum(s.starts), 0) from {schema}.queue_starts as s
        where s.queue_name = :queue_name and s.queue_partition_key = p.key and {in_window}
    ) else 2147483647 end
)

-- name: claim_from_partitions
-- Take up to `share` of each partition that is below its limits, dealt in turns: the first of every partition in order
-- of the keys, then the second of each. No query per partition, and no partition waits for another to be done. The walk
-- goes no further than it finds what is wanted: the first limit keeps the counts of a partition from being made three
-- times, and what is found is written out before it is sorted, lest SQLite walks through all that waits.
with recursive {partitions},
open_partitions as (
    select f.key, f.free
    from (select p.key, {free_in_partition} as free from partitions as p limit 2147483647) as f
    where f.free > 0
),
found as materialized ({found}),
dealt as (
    select f.id, f.epoch, f.key, f.free, row_number() over (partition by f.key order by f.priority, f.sequence) as place
    from found as f
),
chosen as (
    select w.workflow_uuid as id
    from dealt as d
    join {schema}.workflow_status as w on w.workflow_uuid = d.id and w.epoch = d.epoch
    where d.place <= d.free
    order by d.place, d.key
    limit :limit
    {lock_free_rows}
)
update {schema}.workflow_status set {claimed} where workflow_uuid in (select id from chosen)
returning {workflow_columns}, sequence;

-- name: claimed_by
-- What an executor instance has from queues, and by which attempt.
select w.workflow_uuid, w.epoch from {schema}.workflow_status as w
where w.status = 'PENDING' and w.executor_instance = :instance and w.queue_name is not null;

-- name: give_back
-- What was claimed and has not come to its end waits in its old place again. It was an attempt only if it was tried.
update {schema}.workflow_status
set
    status = 'ENQUEUED', epoch = epoch + 1, recovery_attempts = recovery_attempts - 1 + :tried,
    executor_id = null, executor_instance = null, started_at_epoch_ms = null, updated_at = {now_ms}
where workflow_uuid = :workflow_id and epoch = :epoch and executor_instance = :instance and completed_at is null;

-- ------------------------------------------------------------ telling

-- name: stuck
-- The first that wait in a queue and that this executor passes by, and whether some other executor may take them.
select
    w.workflow_uuid, w.name, w.application_version, w.queue_partition_key,
    case when {registered_here} then 1 else 0 end,
    case when exists (
        select 1 from {schema}.executors as e
        where
            e.lease_expires_at_ms >= {lease_now_ms} and e.application_name = :application_name
            and e.application_version = coalesce(w.application_version, {latest_version})
    ) then 1 else 0 end
from {schema}.workflow_status as w
where w.status = 'ENQUEUED' and w.queue_name = :queue_name and {of_our_application}
order by w.priority, w.sequence
limit :limit;

-- name: loads
-- For those who watch: of each of these queues how many wait, for how long the oldest does, and how many run. The oldest is
-- the first of some priority; those are walked in an index from one to the next. Nothing here grows beyond its bounds,
-- and nothing looks at rows that wait for nothing.
with recursive heads (queue_name, priority, place) as (
    select
        e.value,
        (
            select w.priority from {schema}.workflow_status as w
            where w.status = 'ENQUEUED' and w.queue_name = e.value
            order by w.priority limit 1
        ),
        1
    from ({each:names}) as e
    union all
    select
        h.queue_name,
        (
            select w.priority from {schema}.workflow_status as w
            where w.status = 'ENQUEUED' and w.queue_name = h.queue_name and w.priority > h.priority
            order by w.priority limit 1
        ),
        h.place + 1
    from heads as h
    where h.priority is not null and h.place < :most_priorities
),
oldest (queue_name, since_ms) as (
    select h.queue_name, min((
        select w.updated_at from {schema}.workflow_status as w
        where w.status = 'ENQUEUED' and w.queue_name = h.queue_name and w.priority = h.priority
        order by w.sequence limit 1
    ))
    from heads as h
    where h.priority is not null
    group by h.queue_name
)
select
    e.value,
    (
        select count(*) from (
            select 1 from {schema}.workflow_status as w
            where w.status = 'ENQUEUED' and w.queue_name = e.value
            limit :most
        ) as waiting
    ),
    {now_ms} - o.since_ms,
    (
        select count(*) from (
            select 1 from {schema}.workflow_status as w
            where w.status = 'PENDING' and w.queue_name = e.value
            limit :most
        ) as running
    )
from ({each:names}) as e
left join oldest as o on o.queue_name = e.value;

-- name: unserved_queues
-- Queues on which something of our application waits, and that no living executor serves.
with recursive waiting (name) as (
    select (select min(w.queue_name) from {schema}.workflow_status as w where w.status = 'ENQUEUED')
    union all
    select (
        select min(w.queue_name) from {schema}.workflow_status as w
        where w.status = 'ENQUEUED' and w.queue_name > waiting.name
    )
    from waiting where waiting.name is not null
)
select q.name from waiting as q
where
    q.name not in (
        select s.value from {schema}.executors as e, {elements:e.queues} as s
        where e.lease_expires_at_ms >= {lease_now_ms} and e.queues is not null
    )
    and (
        select {of_our_application} from {schema}.workflow_status as w
        where w.status = 'ENQUEUED' and w.queue_name = q.name
        order by w.priority, w.sequence
        limit 1
    );
