-- The rows of workflows: what is asked about them, and every change of who may write.
--
-- A change of owner or standing adds one to `epoch`, so that whoever wrote before is fenced off (see journal.sql).
-- A statement that locks several workflows and waits for them goes by their ids; the sweeps skip what is locked.

-- fragment: workflow_columns
workflow_uuid, status, name, class_name, config_name, inputs, output, error, serialization, outcome_serialization,
created_at, updated_at, completed_at, started_at_epoch_ms, epoch, recovery_attempts, executor_id, executor_instance,
owner_xid, application_name, application_version, application_id, authenticated_user, assumed_role,
authenticated_roles, queue_name, workflow_timeout_ms, workflow_deadline_epoch_ms, delay_until_epoch_ms,
deduplication_id, priority, queue_partition_key, forked_from, was_forked_from, parent_workflow_id,
cast(attributes as text) as attributes, schedule_name

-- fragment: searched_columns
-- The same, with payloads only as wanted.
workflow_uuid, status, name, class_name, config_name,
case when :load_input = 1 then inputs end, case when :load_output = 1 then output end,
case when :load_output = 1 then error end, serialization, outcome_serialization,
created_at, updated_at, completed_at, started_at_epoch_ms, epoch, recovery_attempts, executor_id, executor_instance,
owner_xid, application_name, application_version, application_id, authenticated_user, assumed_role,
authenticated_roles, queue_name, workflow_timeout_ms, workflow_deadline_epoch_ms, delay_until_epoch_ms,
deduplication_id, priority, queue_partition_key, forked_from, was_forked_from, parent_workflow_id,
cast(attributes as text) as attributes, schedule_name

-- name: load_workflows
-- Workflows, with everything.
select {workflow_columns} from {schema}.workflow_status where workflow_uuid in ({each:ids});

-- name: standings
-- May these attempts go on? The cheapest look at workflows.
select workflow_uuid, status, epoch from {schema}.workflow_status where workflow_uuid in ({each:ids});

-- name: lost
-- Of these attempts (workflow id -> epoch), those that own their workflow no longer, and where it stands instead.
select e.key, w.status, w.epoch
from {each_pair}(cast(:owned as {json})) as e
left join {schema}.workflow_status as w on w.workflow_uuid = e.key
where w.workflow_uuid is null or w.epoch <> cast(e.value as integer) or w.status <> 'PENDING';

-- name: ended
-- Of these workflows, those that are finished (true) or do not exist (false).
select e.value, w.workflow_uuid is not null
from ({each:ids}) as e
left join {schema}.workflow_status as w on w.workflow_uuid = e.value
where w.workflow_uuid is null or w.completed_at is not null;

-- name: deduplicated
-- Who holds a deduplication id in a queue. Finished workflows hold none.
select workflow_uuid from {schema}.workflow_status
where queue_name = :queue_name and deduplication_id = :deduplication_id;

-- name: debounced
-- Who has the inputs of a call of a debouncer.
select workflow_uuid from {schema}.workflow_status where debounce_token = :token;

-- name: holder_of_key
-- Who holds the key of a debouncer, and whether it is a workflow of this function that still waits for its inputs.
select
    w.workflow_uuid,
    w.status = 'DELAYED' and w.is_debounced and {function_of} = :function
from {schema}.workflow_status as w
where w.queue_name = :queue_name and w.deduplication_id = :deduplication_id;

-- name: children
-- Everything these workflows started, directly or not.
with recursive descendants (id) as (
    select workflow_uuid from {schema}.workflow_status where parent_workflow_id in ({each:ids})
    union
    select w.workflow_uuid
    from {schema}.workflow_status as w
    join descendants as d on w.parent_workflow_id = d.id
)
select id from descendants;

-- name: owned_by
-- What an executor instance owns.
select workflow_uuid, epoch from {schema}.workflow_status where status = 'PENDING' and executor_instance = :instance;

-- name: next_deadline
-- When the next unfinished workflow runs out of time.
select min(workflow_deadline_epoch_ms) from {schema}.workflow_status
where workflow_deadline_epoch_ms is not null and status in ('PENDING', 'ENQUEUED', 'DELAYED');

-- ------------------------------------------------------------ cancelling

-- fragment: cancelled
-- Out of its queue, its deduplication slot free, its attempt fenced off.
status = 'CANCELLED', epoch = epoch + 1, completed_at = {now_ms}, updated_at = {now_ms},
queue_name = null, deduplication_id = null, executor_instance = null

-- name: cancel
-- Cancel what is not finished, or was given up, and is not locked by someone else just now.
with chosen as (
    select w.workflow_uuid as id from {schema}.workflow_status as w
    where w.workflow_uuid in ({each:ids}) and (w.completed_at is null or w.status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')
    {lock_free_rows}
)
update {schema}.workflow_status set {cancelled} where workflow_uuid in (select id from chosen)
returning workflow_uuid;

-- name: cancel_one
-- The same, waiting for whoever has it locked: a busy workflow has its row nearly all the time.
update {schema}.workflow_status set {cancelled}
where workflow_uuid = :id and (completed_at is null or status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED');

-- name: expire
-- Cancel what has run out of time. Rows that someone else is changing are left to the next sweep.
with chosen as (
    select w.workflow_uuid as id from {schema}.workflow_status as w
    where
        w.workflow_deadline_epoch_ms is not null and w.status in ('PENDING', 'ENQUEUED', 'DELAYED')
        and w.workflow_deadline_epoch_ms < {now_ms}
    {lock_free_rows}
)
update {schema}.workflow_status set {cancelled} where workflow_uuid in (select id from chosen)
returning workflow_uuid;

-- ------------------------------------------------------------ taking over

-- fragment: of_our_application
(w.application_name is null or w.application_name = :application_name)

-- fragment: of_our_version
(w.application_version is null or w.application_version = :application_version)

-- fragment: ours
-- May executors of this application and version run it?
{of_our_application} and {of_our_version}

-- fragment: function_of
-- How a function is named where functions are compared.
w.name || {unit_separator} || coalesce(w.class_name, '') || {unit_separator} || coalesce(w.config_name, '')

-- fragment: registered_here
-- Is its function among those that the executor knows?
{function_of} in ({each:runnable})

-- fragment: runs_directly
-- Not on a queue of the user's: it may be run without asking anyone.
(w.queue_name is null or w.queue_name = :internal_queue)

-- fragment: taken
-- The new owner, who counts an attempt and fences off the one before.
status = 'PENDING', epoch = epoch + 1, recovery_attempts = recovery_attempts + 1,
executor_id = :executor_id, executor_instance = :instance, updated_at = {now_ms},
application_name = coalesce(application_name, :application_name),
application_version = coalesce(application_version, :application_version)

-- name: lock_abandoned
-- Running workflows whose owner's lease is over. Those of queues go back there, whatever their version: the slots they
-- hold are needed. The sum in `order by` keeps SQLite from walking the whole history in
-- the order wanted, instead of the few running ones by their index.
select w.workflow_uuid, {runs_directly}
from {schema}.workflow_status as w
join {schema}.executors as e on e.instance_id = w.executor_instance
where
    w.status = 'PENDING' and e.lease_expires_at_ms < {lease_now_ms} and w.executor_instance <> :instance
    and {of_our_application} and (not {runs_directly} or ({of_our_version} and {registered_here}))
order by w.sequence + 0
limit :limit
{lock_free_rows};

-- name: lock_running_of_executors
-- Running workflows of the executors so configured, whether they live or not, registered or not; in pages.
select w.workflow_uuid, {runs_directly}
from {schema}.workflow_status as w
where
    w.status = 'PENDING' and w.executor_id in ({each:executor_ids}) and w.workflow_uuid > :after and {ours}
    and (not {runs_directly} or {registered_here})
order by w.workflow_uuid
limit :limit
{lock_rows};

-- name: lock_orphans
-- Running workflows that belong to this very instance. (An unfinished workflow that has an owner is PENDING; saying so
-- would invite the plan to walk the index of everything pending: see schema.sql.)
select w.workflow_uuid, {runs_directly}
from {schema}.workflow_status as w
where w.workflow_uuid in ({each:ids}) and w.executor_instance = :instance and w.completed_at is null
order by w.workflow_uuid
{lock_rows};

-- name: take
-- Own what was locked just before, in the same transaction. Deadlines stay as they are.
update {schema}.workflow_status set {taken} where workflow_uuid in ({each:ids})
returning {workflow_columns}, sequence;

-- name: requeue
-- Give back to their queues what was locked just before, in the same transaction: their limits decide who runs it.
update {schema}.workflow_status
set status = 'ENQUEUED', epoch = epoch + 1, executor_id = null, executor_instance = null, updated_at = {now_ms}
where workflow_uuid in ({each:ids});

-- name: unrunnable
-- What would be ours to run, were its function registered here.
select {workflow_columns}
from {schema}.workflow_status as w
where
    {ours} and {runs_directly} and not ({registered_here}) and (
        (w.status = 'ENQUEUED' and w.queue_name = :internal_queue)
        or (
            w.status = 'PENDING' and w.executor_instance in (
                select e.instance_id from {schema}.executors as e where e.lease_expires_at_ms < {lease_now_ms}
            )
        )
    )
order by w.sequence
limit :limit;

-- name: of_other_versions
-- Abandoned workflows of our application that only another version of it may run on.
select w.application_version, count(*)
from {schema}.workflow_status as w
join {schema}.executors as e on e.instance_id = w.executor_instance
where
    w.status = 'PENDING' and e.lease_expires_at_ms < {lease_now_ms}
    and w.application_name = :application_name and w.application_version <> :application_version
group by w.application_version;

-- ------------------------------------------------------------ resuming

-- name: lock_to_resume
-- Where the workflows stand.
select w.workflow_uuid, w.status
from {schema}.workflow_status as w
where w.workflow_uuid in ({each:ids})
order by w.workflow_uuid
{lock_rows};

-- name: resume
-- Reopen everything but a success, as if it had never been started; its steps stay.
update {schema}.workflow_status
set
    status = 'ENQUEUED', epoch = epoch + 1, queue_name = :queue_name, recovery_attempts = 0,
    output = null, error = null, outcome_serialization = null, completed_at = null, updated_at = {now_ms},
    started_at_epoch_ms = null, workflow_deadline_epoch_ms = null, delay_until_epoch_ms = null,
    deduplication_id = null, executor_id = null, executor_instance = null
where workflow_uuid in ({each:ids}) and status <> 'SUCCESS'
returning workflow_uuid;
