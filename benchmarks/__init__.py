"""How fast it is, beside the original release and beside what we promised. Start at `run.py`."""
