-- Messages, events and the history of events. schema.sql explains the columns.

create table notifications (
    sequence integer primary key,
    destination_uuid text not null,
    message_uuid text not null,
    topic text not null,
    message text not null,
    serialization text,
    created_at_epoch_ms integer not null,
    consumed integer not null default 0,
    consumed_by_function_id integer,
    unique (destination_uuid, message_uuid)
) strict;
create index notification_waiting on notifications (destination_uuid, topic, sequence) where consumed = 0;

create table workflow_events (
    workflow_uuid text not null,
    key text not null,
    value text not null,
    serialization text,
    primary key (workflow_uuid, key)
) strict, without rowid;

create table workflow_events_history (
    workflow_uuid text not null,
    function_id integer not null,
    key text not null,
    value text not null,
    serialization text,
    primary key (workflow_uuid, function_id, key)
) strict, without rowid;

create index workflow_forks on workflow_status (forked_from) where forked_from is not null;
