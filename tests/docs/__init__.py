"""The documentation as a test: its programs run, its references are complete, its links lead somewhere."""
