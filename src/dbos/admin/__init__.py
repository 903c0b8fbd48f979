"""The admin server: one process of an application, looked at and steered through HTTP.

It stands beside the services. What it can do is handed to it as `Controls`, so that it knows nobody above it.
"""
