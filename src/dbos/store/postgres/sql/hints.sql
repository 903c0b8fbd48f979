-- Wake-ups exist as a statement on Postgres only.

-- name: notify
-- Tell the listeners of a channel; a transaction of its own, because its commit takes a lock of the whole server. It
-- does not wait for the disk: with a crash of the server, its listeners are gone as well.
select set_config('synchronous_commit', 'off', true), pg_notify(:channel, :payload);

-- name: notify_by_commit
-- The same in a transaction of the user's, which stays as durable as it is: its commit tells them.
select pg_notify(:channel, :payload);
