-- The executors: one row per launch, alive while its lease lasts on the clock of the database: the real one, for a
-- lease is about a process. (A test may make everything else believe that it is later.)

-- name: now
-- The clock that deadlines, delays and sleeps go by.
select {now_ms};

-- name: register_executor
-- A launch announces itself, or comes back after its row was pruned or declared dead.
insert into {schema}.executors (
    instance_id, executor_id, application_name, application_version, host, pid, process_started,
    started_at_ms, lease_expires_at_ms
)
values (
    :instance, :executor_id, :application_name, :application_version, :host, :pid, :process_started,
    {now_ms}, {lease_now_ms} + :lease_ms
)
on conflict (instance_id) do update set lease_expires_at_ms = excluded.lease_expires_at_ms;

-- name: renew_lease
-- A living executor stays alive; one that was declared dead does not come back by itself.
update {schema}.executors set lease_expires_at_ms = {lease_now_ms} + :lease_ms
where instance_id = :instance and lease_expires_at_ms >= {lease_now_ms}
returning instance_id;

-- name: serve_queues
-- Which queues an executor serves, for those who wonder why something waits.
update {schema}.executors set queues = :queues where instance_id = :instance;

-- name: end_leases
-- These executors are gone from now on.
update {schema}.executors set lease_expires_at_ms = {lease_now_ms} - 1
where instance_id in ({each:instances}) and lease_expires_at_ms >= {lease_now_ms};

-- name: living_on_host
-- Executors of this host whose lease still lasts: their processes may be gone all the same. With each, and if there is
-- none in a row of nulls: does any executor whose lease is over still own a workflow?
select e.instance_id, e.pid, e.process_started, d.leaves_something
from (
    select case when exists (
        select 1 from {schema}.executors as x
        where x.lease_expires_at_ms < {lease_now_ms} and (
            select 1 from {schema}.workflow_status as w
            where w.status = 'PENDING' and w.executor_instance = x.instance_id limit 1
        ) = 1
    ) then 1 else 0 end as leaves_something
) as d
left join {schema}.executors as e on e.host = :host and e.lease_expires_at_ms >= {lease_now_ms};

-- name: prune_executors
-- Forget executors that ended long ago and that no pending workflow refers to.
delete from {schema}.executors
where lease_expires_at_ms < {lease_now_ms} - :keep_ms and not exists (
    select 1 from {schema}.workflow_status as w where w.status = 'PENDING' and w.executor_instance = instance_id
);
