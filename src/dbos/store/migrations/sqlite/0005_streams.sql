create table streams (
    workflow_uuid text not null,
    key text not null,
    "offset" integer not null,
    value text not null,
    serialization text,
    function_id integer not null,
    epoch integer not null,
    step_attempt integer,
    token text,
    written_at_ms integer not null,
    primary key (workflow_uuid, key, "offset")
) strict, without rowid;

create unique index stream_token on streams (token) where token is not null;
