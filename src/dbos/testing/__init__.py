"""PROVE: what tests of applications need, and ours too. The pytest plugin (dbos_pytest) loads it when a test asks."""
