import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbos.model.retry import MAX_DELAY_SECONDS, RetryPolicy


def test_waits_grow_by_the_backoff_rate() -> None:
    policy = RetryPolicy(max_attempts=5, interval_seconds=0.5, backoff_rate=3)
    assert [policy.delay_before(attempt) for attempt in range(5)] == [0.0, 0.5, 1.5, 4.5, 13.5]


@pytest.mark.parametrize("attempt", [13, 1_000, 10**6, 10**30])
def test_no_wait_exceeds_the_cap(attempt: int) -> None:
    assert RetryPolicy().delay_before(attempt) == MAX_DELAY_SECONDS


@pytest.mark.parametrize("policy", [RetryPolicy(9, 0, 2.0), RetryPolicy(9, 0.0, 1e300), RetryPolicy(9, 0, 0)])
def test_an_interval_of_zero_never_waits(policy: RetryPolicy) -> None:
    assert [policy.delay_before(attempt) for attempt in (0, 1, 2, 10**4)] == [0.0] * 4


sizes = st.floats(0, 1e308) | st.integers(0, 10**400)


@given(sizes, sizes, st.integers(0, 10_000))
def test_a_wait_is_always_a_usable_number(interval: float, rate: float, attempt: int) -> None:
    delay = RetryPolicy(interval_seconds=interval, backoff_rate=rate).delay_before(attempt)
    assert 0 <= delay <= MAX_DELAY_SECONDS


@given(st.floats(0.001, 100), st.floats(1, 10), st.integers(1, 30))
def test_waits_never_shrink(interval: float, rate: float, attempt: int) -> None:
    policy = RetryPolicy(interval_seconds=interval, backoff_rate=rate)
    assert policy.delay_before(attempt) <= policy.delay_before(attempt + 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_attempts": -1},
        {"max_attempts": True},
        {"max_attempts": 2.0},
        {"max_attempts": "3"},
        {"interval_seconds": -0.1},
        {"interval_seconds": math.nan},
        {"interval_seconds": math.inf},
        {"interval_seconds": "1"},
        {"backoff_rate": -1},
        {"backoff_rate": math.nan},
        {"backoff_rate": None},
    ],
    ids=str,
)
def test_senseless_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)
