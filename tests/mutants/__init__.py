"""Planted bugs: `python -m tests.mutants` breaks a copy of the source in many ways; a test must notice each."""
