"""SERVE: the user's own database, where a step commits together with the user's data.

All that knows SQLAlchemy is here, and it is loaded by the first transaction: the system tables need none of it.
"""
