-- What has not succeeded is asked for most, and is rare: it is found in a long history without reading all of it.

create index workflow_failed on {schema}.workflow_status (created_at)
    where status in ('ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED');
