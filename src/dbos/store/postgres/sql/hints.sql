-- Wake-ups exist as a statement on Postgres only.

-- name: notify
-- Tell the listeners of a channel; a transaction of its own, because its commit takes a lock of the whole server. It
-- does not wait for the disk: with a crash of the server, its listeners are gone as well.
select set_config('synchronous_commit', 'off', true), pg_notify(:channel, :payload);
