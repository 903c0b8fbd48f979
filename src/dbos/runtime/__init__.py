"""Runs workflows and steps durably: operations, the two interpreters, attempts, and the hosts of user code."""
