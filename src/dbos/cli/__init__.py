"""The command `dbos`: what a person at a terminal, or a script, asks of a system database and of a project.

One module per group of commands. What is found goes to stdout: as a table on a terminal, as lines of tab-separated
fields otherwise, as JSON with `--json`. Everything else goes to stderr.
"""
