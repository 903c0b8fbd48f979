"""The campaign: real processes and real servers under every fault we can make, for as long as one likes.

`python -m tests.torture --minutes 60` runs all of it, `report` writes docs/reliability.md from what the runs found, and
`make test` plays every scenario in a reduced form. A scenario uses the public interface, harms whatever it likes, ends
with a quiet period in which everything must come to its end, and lets the invariants be checked on what was written
down outside the engine: by triggers in the database, and by step bodies in a ledger.
"""
