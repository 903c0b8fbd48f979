-- On Postgres, a function that writes a value of a stream. SQLite keeps no functions: nothing to do here.
select 1;
