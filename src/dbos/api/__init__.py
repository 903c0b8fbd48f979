"""What users call: the DBOS class, decorators, handles, context managers, configuration."""
