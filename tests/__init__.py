"""The suite. It mirrors the layers of `dbos`; `support` holds what tests and benchmarks share."""
