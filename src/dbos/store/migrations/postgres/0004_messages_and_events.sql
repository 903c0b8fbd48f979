-- Messages, events and the history of events. schema.sql explains the columns.

create table {schema}.notifications (
    destination_uuid text collate "C" not null,
    message_uuid text collate "C" not null,
    sequence bigint generated always as identity,
    topic text collate "C" not null,
    message text not null,
    serialization text,
    created_at_epoch_ms bigint not null,
    consumed boolean not null default false,
    consumed_by_function_id integer,
    primary key (destination_uuid, message_uuid)
);
create index notification_waiting on {schema}.notifications (destination_uuid, topic, sequence) where not consumed;

create table {schema}.workflow_events (
    workflow_uuid text collate "C" not null,
    key text collate "C" not null,
    value text not null,
    serialization text,
    primary key (workflow_uuid, key)
);

create table {schema}.workflow_events_history (
    workflow_uuid text collate "C" not null,
    function_id integer not null,
    key text collate "C" not null,
    value text not null,
    serialization text,
    primary key (workflow_uuid, function_id, key)
);

create index workflow_forks on {schema}.workflow_status (forked_from) where forked_from is not null;
