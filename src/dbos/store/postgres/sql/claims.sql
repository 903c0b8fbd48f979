-- name: lock_claims
-- An advisory lock: it writes nothing, and queues that no table knows have one, too.
select pg_advisory_xact_lock(hashtextextended({schema_text} || '/' || :queue_name, 0));

-- name: try_lock_claims
-- Here it may be somebody else's.
select 1 where pg_try_advisory_xact_lock(hashtextextended({schema_text} || '/' || :queue_name, 0));

-- name: try_share_claims
-- Shared with its like; a definition waits for it, and from then on it is refused.
select 1 where pg_try_advisory_xact_lock_shared(hashtextextended({schema_text} || '/' || :queue_name, 0));

-- fragment: found
-- The first of each partition, by a lateral join.
select h.id, h.epoch, h.priority, h.sequence, p.key, p.free
from open_partitions as p
cross join lateral (
    select w.workflow_uuid as id, w.epoch, w.priority, w.sequence
    from {schema}.workflow_status as w
    where {waiting_in_partitions} and w.queue_partition_key = p.key and {may_be_claimed}
    order by w.priority, w.sequence
    limit least(p.free, :share)
) as h
limit :most
