-- fragment: found
-- The first of each partition. There is no lateral join here, but a list of rowids may depend on what stands before it.
select r.workflow_uuid as id, r.epoch, r.priority, r.sequence, p.key, p.free
from open_partitions as p
cross join workflow_status as r
where r.sequence in (
    select w.sequence from workflow_status as w
    where {waiting_in_partitions} and w.queue_partition_key = p.key and {may_be_claimed}
    order by w.priority, w.sequence
    limit :share
)
limit :most
