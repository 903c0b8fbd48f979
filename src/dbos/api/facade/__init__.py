"""What `DBOS` can do, one noun per module: the two faces of every operation in runtime.operations."""
