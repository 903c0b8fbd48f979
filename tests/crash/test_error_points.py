"""Every scenario, with an error of the database at every exchange with it: once, twice, or ten times in a row.

The errors are those that another try resolves (F5). So nothing of it shows: the outcome, the numbers of the steps and
how often each of them ran are those of a run that nothing disturbed. By default a few exchanges of each scenario fail;
with `--all-points` each of them does, with every class of errors.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import psycopg
import pytest

import tests.crash.every_scenario  # noqa: F401
from dbos.store import pool
from dbos.store.pool import Pool
from dbos.testing.crashing import Seam
from tests.crash.scenario import SCENARIOS
from tests.crash.test_crash_points import Count, spread, trial

STATES = "40001", "40P01", "55P03", "57014", "57P01", "25006", "53300", "53100", "08006"
CODES = sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_SNAPSHOT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR
TIMES = 1, 2, 10
SAMPLE = {"sqlite": 4, "postgres": 2}
LONGEST_PAUSE_SECONDS = 0.02

MakeError = Callable[[], Exception]


def _of_postgres(state: str) -> MakeError:
    def make() -> Exception:
        try:
            return psycopg.errors.lookup(state)("planted")
        except KeyError:  # of a class of errors that has no name
            return psycopg.OperationalError("planted")

    return make


def _of_sqlite(code: int) -> MakeError:
    def make() -> Exception:
        error = sqlite3.OperationalError("planted")
        error.sqlite_errorcode = code
        return error

    return make


ERRORS: dict[str, tuple[MakeError, ...]] = {
    "sqlite": tuple(map(_of_sqlite, CODES)),
    "postgres": (*map(_of_postgres, STATES), lambda: psycopg.OperationalError("server closed the connection")),
}


class Exchanges:
    """Counts exchanges of the pool with the database since it was armed, and lets one of them fail."""

    def __init__(self) -> None:
        self.count = 0
        self.left = 0  # times that it still fails
        self._number = 0
        self._make: MakeError = Exception
        self._lock = threading.Lock()

    def arm(self, number: int = 0, make: MakeError = Exception, times: int = 0) -> None:
        """Count anew; the exchange of this number fails so often."""
        with self._lock:
            self.count, self.left, self._number, self._make = 0, times, number, make

    def begin(self) -> int:
        with self._lock:
            self.count += 1
            return self.count

    def strike(self, number: int) -> None:
        with self._lock:
            if number != self._number or self.left == 0:
                return
            self.left -= 1
        raise self._make()


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> Iterator[Exchanges]:
    exchanges = Exchanges()
    original = Pool._perform

    def perform(
        self: Pool,
        lender: Any,
        work: Callable[[Any], Any],
        closing: threading.Event | None = None,
        patient: bool | None = None,
    ) -> Any:
        if patient is False:  # tells by the error that it lost its connection
            return original(self, lender, work, closing, patient)
        number = exchanges.begin()

        def struck(session: Any) -> Any:
            exchanges.strike(number)
            return work(session)

        return original(self, lender, struck, closing, patient)

    monkeypatch.setattr(Pool, "_perform", perform)
    monkeypatch.setattr(pool, "LONGEST_PAUSE_SECONDS", LONGEST_PAUSE_SECONDS)
    monkeypatch.setattr(pool, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(pool, "BUSY_PAUSES_SECONDS", (0.0, 0.001))
    yield exchanges
    exchanges.arm()


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.timeout(1800)
def test_an_error_that_another_try_resolves_shows_nowhere(
    name: str, database_url: str, seam: Seam, exchanges: Exchanges, all_points: bool, record_property: Count
) -> None:
    dialect = database_url.partition(":")[0].replace("postgresql", "postgres")
    with trial(name, database_url, seam) as run:
        exchanges.arm()
        run.run("counted-", [])
        numbers = range(1, exchanges.count + 1)
        points = list(product(numbers, ERRORS[dialect]))
        if not all_points:
            points = spread(points, SAMPLE[dialect])
        reached = 0
        for place, (number, make) in enumerate(points):
            times = TIMES[place % len(TIMES)]
            exchanges.arm(number, make, times)
            try:
                run.run(f"run{place}-", [])
                run.check_that_no_attempt_lost_its_workflow(f"run{place}-")
            except Exception as error:
                error.add_note(f"{name}: exchange {number} failed {times} times with {make()!r}")
                raise
            reached += exchanges.left < times
        exchanges.arm()
        assert reached > 0
        record_property("errors", reached)
