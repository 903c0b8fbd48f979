-- Which steps name a workflow: what an unfinished workflow still needs is kept.

create index operation_child on {schema}.operation_outputs (child_workflow_id) where child_workflow_id is not null;
