-- The next value of a stream and, if the body of a workflow writes it, the step that records it: both or neither.
--
-- Each statement sees what the ones before it wrote, those of earlier calls included, and what was committed before the
-- lock was ours. So one statement of the journal writes many values of one stream, by one call each. Only the journal
-- calls it: whoever writes has to hold the epoch.

create function {schema}.append_to_stream(
    workflow_id text,
    epoch bigint,
    key text,
    value text,
    serialization text,
    function_id bigint,
    step_attempt bigint,
    token text, -- null: this is a step itself
    written_at_ms bigint
) returns boolean language plpgsql
set enable_seqscan = off -- a session keeps the plans, and may have made them while the tables were empty
as $$
#variable_conflict use_column
declare
    -- CLOSED_TEXT and CLOSED_SERIALIZATION of model/stream.py
    closes boolean := value = '"__DBOS_STREAM_CLOSED__"' and serialization = 'portable_json';
    last record;
begin
    perform 1 from {schema}.workflow_status as w
    where w.workflow_uuid = append_to_stream.workflow_id and w.epoch = append_to_stream.epoch and w.completed_at is null
    for no key update;
    if not found then
        return false;
    end if;
    select s."offset", s.value = '"__DBOS_STREAM_CLOSED__"' and s.serialization = 'portable_json' as closes into last
    from {schema}.streams as s
    where s.workflow_uuid = append_to_stream.workflow_id and s.key = append_to_stream.key
    order by s."offset" desc
    limit 1;
    if last.closes then
        return false;
    end if;
    if token is null then
        insert into {schema}.operation_outputs (
            workflow_uuid, function_id, function_name, started_at_epoch_ms, completed_at_epoch_ms, epoch
        )
        values (
            workflow_id, function_id, case when closes then 'DBOS.closeStream' else 'DBOS.writeStream' end,
            written_at_ms, written_at_ms, epoch
        )
        on conflict do nothing;
        if not found then
            return false;
        end if;
    end if;
    insert into {schema}.streams (
        workflow_uuid, key, "offset", value, serialization, function_id, epoch, step_attempt, token, written_at_ms
    )
    values (
        workflow_id, key, coalesce(last."offset" + 1, 0), value, serialization, function_id, epoch, step_attempt, token,
        written_at_ms
    )
    on conflict (token) where token is not null do nothing; -- written before, by a commit whose reply was lost
    return found;
end $$;
