-- Wake-ups exist as a statement on Postgres only.

-- name: notify
-- Tell the listeners of a channel; a transaction of its own, because its commit takes a lock of the whole server.
select pg_notify(:channel, :payload);
