-- Which call of a debouncer a workflow has its inputs from, so that a call whose reply was lost counts once.

alter table workflow_status add column debounce_token text;

create index workflow_debounced on workflow_status (debounce_token) where debounce_token is not null;
