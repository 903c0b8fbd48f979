-- name: lock_claims
-- An advisory lock: it writes nothing, and queues that no table knows have one, too.
select pg_advisory_xact_lock(hashtextextended({schema_text} || '/' || :queue_name, 0));
