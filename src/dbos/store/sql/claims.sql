-- Claiming from queues: who waits where, how much of each limit is used, and taking what fits.

-- name: lock_claims
-- Until the end of this transaction nobody else claims from this queue by limits that are shared, nor redefines it.
-- SQLite has one writer: its transaction is the lock.
select 1;
