"""What only SQLite can get wrong: its locks, its log, its disk, and many processes on one file."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dbos.error import DBOSInitializationError
from dbos.store.database import JournalClosed, Role, StoreClosed, StoreDamaged, StoreSettings
from dbos.store.records import KINDS
from dbos.store.search import WorkflowFilter, query
from dbos.store.sqlite.database import SqliteDatabase
from dbos.store.store import Store
from tests.store.records import checkpoint, start
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually


@pytest.fixture
def path(sqlite_url: str) -> Path:
    return Path(sqlite_url.removeprefix("sqlite:///"))


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    with Store.open(StoreSettings(url=sqlite_url)) as store:
        store.journal.write([start("w")])
        yield store


def test_a_new_file_is_opened_without_a_checkpoint(path: Path, sqlite_url: str) -> None:
    """The connection that checks and migrates it is not the last to leave: that one would clean up, with syncs."""
    with Store.open(StoreSettings(url=sqlite_url)):
        assert path.with_name(path.name + "-wal").stat().st_size > 0


def test_every_session_is_as_durable_and_careful_as_promised(store: Store, sqlite_url: str) -> None:
    for role in Role:
        session = store._pool.database.connect(role)
        try:
            connection = session._connection
            pragmas = {
                name: connection.execute(f"pragma {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous", "foreign_keys", "trusted_schema", "busy_timeout")
            }
        finally:
            session.close()
        assert pragmas == {
            "journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "trusted_schema": 0, "busy_timeout": 2,
        }  # fmt: skip


def test_every_hot_statement_goes_by_an_index(store: Store) -> None:
    statements = store._pool.database.statements
    hot = [kind.__name__ for kind in KINDS] + [
        "load_workflows", "standings", "lost", "ended", "children", "cancel", "expire", "claim",
        "owned_by", "next_deadline", "lock_orphans", "take", "requeue", "resume", "history", "recorded_step",
    ]  # fmt: skip
    session = store._pool.database.connect(Role.WRITER)
    try:
        for name in hot:
            statement = statements[name]
            values: object = dict.fromkeys(statement.parameters)
            if not statement.parameters:
                values = [None] * statement.sql.count("?")
            plan = session._connection.execute(f"explain query plan {statement.sql}", values).fetchall()
            scans = [
                row[3]
                for row in plan
                if row[3].startswith(("SCAN w", "SCAN workflow_status", "SCAN operation_outputs"))
            ]
            # Walking a partial index in its own order is no scan of the table.
            assert [scan for scan in scans if "USING" not in scan] == [], f"{name}: {plan}"
    finally:
        session.close()


ON_QUEUE = {"queue_name": ("q",)}
WAITING = {"workflow_enqueued"}
LISTINGS = [
    (ON_QUEUE, ("ENQUEUED", "PENDING"), WAITING | {"workflow_running"}),
    ({"queue_name": ("q", "r")}, ("ENQUEUED", "PENDING"), WAITING | {"workflow_running"}),
    (ON_QUEUE, ("ENQUEUED", "PENDING", "DELAYED"), WAITING | {"workflow_running", "workflow_delayed"}),
    (ON_QUEUE, ("PENDING", "ERROR"), {"workflow_running", "workflow_failed"}),
    (ON_QUEUE, ("PENDING",), {"workflow_running"}),
    (ON_QUEUE, ("ERROR",), {"workflow_failed"}),
    ({}, ("ENQUEUED", "PENDING"), WAITING | {"workflow_pending"}),
    ({}, ("PENDING",), {"workflow_pending"}),
    ({}, ("ERROR", "CANCELLED"), {"workflow_failed"}),
    ({"queues_only": True}, ("ENQUEUED", "PENDING"), WAITING | {"workflow_running"}),
    ({"name": ("f",)}, ("ENQUEUED", "PENDING"), WAITING | {"workflow_pending"}),
    ({"executor_id": ("e",)}, ("PENDING", "ERROR"), {"workflow_pending", "workflow_failed"}),
    ({"application_name": ("a", None)}, ("ENQUEUED", "PENDING"), WAITING | {"workflow_pending"}),
    ({"start_time_ms": 1}, ("ENQUEUED", "PENDING"), {"workflow_created"}),
    ({"workflow_ids": ("w",)}, ("ENQUEUED", "ERROR"), {"sqlite_autoindex_workflow_status_1"}),
]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(("filters", "statuses", "indexes"), LISTINGS)
def test_listings_by_status_read_what_has_it_and_not_the_history(
    store: Store, filters: dict[str, tuple[str, ...]], statuses: tuple[str, ...], indexes: set[str], newest_first: bool
) -> None:
    """Each status by the index that holds it, never all workflows in the order of their creation."""
    database = store._pool.database
    wanted = WorkflowFilter(**filters, status=statuses, limit=1, sort_desc=newest_first)
    text, values = query(wanted, unites_indexes=database.unites_indexes)
    statement = database.statements.compose("", text)
    with closing(database.connect(Role.READER)) as session:
        plan = session._connection.execute(f"explain query plan {statement.sql}", values).fetchall()
    steps = [row[3] for row in plan if row[3].startswith(("SCAN", "SEARCH"))]
    assert all("INDEX" in step or "(rowid=?)" in step for step in steps), plan
    assert {word for step in steps for word in step.split() if word.startswith(("workflow_", "sqlite_"))} == indexes, (
        plan
    )


# ------------------------------------------------------------ the log under us

OTHER_PROCESS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("update workflow_status set request = 'theirs' where workflow_uuid = 'w'")
connection.commit()
connection.close()
"""


LOOK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
queries = [
    "select request, status from workflow_status", "select function_id from operation_outputs", "pragma integrity_check"
]
print([row for query in queries for row in connection.execute(query)])
"""


def pull_the_log_away(path: Path) -> None:
    """Code of this process that opens and closes the file drops our locks; the next to leave takes the log along."""
    path.open("rb").close()
    subprocess.run([sys.executable, "-c", OTHER_PROCESS, str(path)], check=True, timeout=30)


def test_a_vanished_log_is_noticed_before_anything_is_acknowledged(store: Store, path: Path) -> None:
    store.journal.write([checkpoint("w", 1)])
    pull_the_log_away(path)
    assert not path.with_name(path.name + "-wal").exists()
    with pytest.raises(JournalClosed, match="removed or replaced") as caught:
        store.journal.write([checkpoint("w", 2)])
    assert isinstance(caught.value.__cause__, StoreDamaged)
    with pytest.raises(JournalClosed):  # for good: this process has to start again
        store.journal.write([checkpoint("w", 3), checkpoint("w", 4)])
    with pytest.raises(StoreClosed):
        store.workflows.cancel(["w"])
    store.close()
    # Nothing that others wrote, or that was acknowledged, is overwritten by our closing.
    answer = subprocess.run([sys.executable, "-c", LOOK, str(path)], check=True, capture_output=True, timeout=30)
    assert answer.stdout == b"[('theirs', 'PENDING'), (1,), ('ok',)]\n"


DAMAGED_PROCESS = """
import subprocess, sys
from pathlib import Path
from dbos.store.store import Store
from dbos.store.database import StoreSettings
from tests.store.records import checkpoint
from tests.store.test_sqlite import pull_the_log_away
path = Path(sys.argv[1])
store = Store.open(StoreSettings(url=f"sqlite:///{path}"))
store.journal.write([checkpoint("w", 1)])
pull_the_log_away(path)
try:
    store.journal.write([checkpoint("w", 2)])
except Exception:
    pass
print("damaged")
"""


def test_not_even_the_end_of_the_process_overwrites_what_others_wrote(
    store: Store, path: Path, sqlite_url: str
) -> None:
    store.close()
    answer = subprocess.run(
        [sys.executable, "-c", DAMAGED_PROCESS, str(path)], check=False, capture_output=True, text=True, timeout=30
    )
    assert answer.stdout == "damaged\n", answer.stderr
    assert run_sql(sqlite_url, "select request from workflow_status") == [("theirs",)]
    assert run_sql(sqlite_url, "pragma integrity_check") == [("ok",)]


# ------------------------------------------------------------ busy, full, gone


def test_a_busy_file_is_waited_for(store: Store, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        threads = [
            threading.Thread(target=store.journal.write, args=([checkpoint("w", 1)],)),
            threading.Thread(target=store.workflows.cancel, args=(["nobody"],)),
        ]
        for thread in threads:
            thread.start()
        assert store.workflows.standing("w") == ("PENDING", 1)  # reading goes on meanwhile
        other.execute("commit")
        for thread in threads:
            thread.join()
    assert store.steps.recorded("w", 1) is not None


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The longest that each pause of the pool may be."""
    seen: list[float] = []

    def uniform(shortest: float, longest: float) -> float:
        seen.append(longest)
        return shortest

    monkeypatch.setattr("dbos.store.pool.random.uniform", uniform)
    return seen


def test_a_busy_file_is_looked_at_again_and_again(store: Store, path: Path, pauses: list[float]) -> None:
    """Pauses that grow would leave the turn to a process that writes without a break."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        thread = threading.Thread(target=store.journal.write, args=([checkpoint("w", n) for n in (1, 2)],))
        thread.start()
        eventually(lambda: len(pauses) > 50)
        assert thread.is_alive()
        other.execute("commit")
        thread.join()
    assert max(pauses) <= 0.005
    assert len(store.steps.list("w")) == 2


def test_a_file_that_nobody_lets_go_of_is_reported(
    store: Store, path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dbos.store.pool.BUSY_SECONDS", 0.05)
    with caplog.at_level(logging.WARNING, "dbos"), closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        thread = threading.Thread(target=store.journal.write, args=([checkpoint("w", 1)],))
        thread.start()
        eventually(lambda: "database is locked" in caplog.text)
        other.execute("commit")
        thread.join()
    assert pauses[0] <= 0.005 < pauses[-1]
    assert store.steps.recorded("w", 1) is not None


def test_arguments_for_the_driver_win_or_are_refused_by_name(sqlite_url: str) -> None:
    with Store.open(StoreSettings(url=sqlite_url, connect_args={"timeout": 7.0})) as store, store._pool.writer.lock:
        assert store._pool.writer.borrow()._connection.execute("pragma busy_timeout").fetchone() == (7_000,)
    with pytest.raises(DBOSInitializationError, match=r"connect_args.*sslmode"):
        Store.open(StoreSettings(url=sqlite_url, connect_args={"sslmode": "require"}))


def test_a_file_system_without_shared_memory_is_refused(
    sqlite_url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There SQLite cannot keep a write-ahead log, and says so only in its answer. `unix-dotfile` is like that."""

    def open_there(self: SqliteDatabase) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{path}?vfs=unix-dotfile", uri=True, isolation_level=None)

    monkeypatch.setattr(SqliteDatabase, "open", open_there)
    with pytest.raises(DBOSInitializationError, match=r"write-ahead log.*file system"):
        Store.open(StoreSettings(url=sqlite_url))


def test_a_full_disk_is_waited_out(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """`max_page_count` makes SQLite report a full disk."""
    with store._pool.writer.lock:
        connection = store._pool.writer.borrow()._connection
        (pages,) = connection.execute("pragma page_count").fetchone()
        connection.execute(f"pragma max_page_count = {pages}")
    large = "x" * 100_000
    threads = [
        threading.Thread(target=store.journal.write, args=([checkpoint("w", n, output=large)],)) for n in range(3)
    ]
    with caplog.at_level(logging.WARNING, "dbos"):
        for thread in threads:
            thread.start()
        eventually(lambda: "full" in caplog.text)
    assert store.steps.list("w") == []  # reads are still served
    with store._pool.writer.lock:
        store._pool.writer.borrow()._connection.execute("pragma max_page_count = 1000000")
    for thread in threads:
        thread.join()
    assert [len(step.output or "") for step in store.steps.list("w")] == [100_000] * 3


def test_the_path_may_be_relative_or_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store.open(StoreSettings(url="sqlite:///here.sqlite")) as store:
        store.journal.write([start("w")])
        monkeypatch.chdir("/")
        assert store.journal.write([start("x")]) == [(None, 1)]
    (tmp_path / "link.sqlite").symlink_to(tmp_path / "here.sqlite")
    with Store.open(StoreSettings(url=f"sqlite:///{tmp_path}/link.sqlite")) as store:
        assert store.workflows.standing("x") == ("PENDING", 1)
        assert store.journal.write([checkpoint("w", 1)]) == [()]


# ------------------------------------------------------------ many processes

WRITER_PROCESS = """
import sys
from dbos.model.queue import QueueSpec
from dbos.store.store import Store
from dbos.store.database import StoreSettings
from tests.store.records import RUNNABLE, checkpoint, finish, owner, start
me = sys.argv[2]
with Store.open(StoreSettings(url=sys.argv[1])) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(20):
        store.journal.write([start(f"{me}-{n}")])
        assert store.journal.write([checkpoint(f"{me}-{n}", 1), checkpoint(f"{me}-{n}", 2)]) == [(), ()]
        assert store.journal.write([finish(f"{me}-{n}")]) == [()]
    claimed = 0
    while rows := store.claims.claim(QueueSpec("q"), owner(me), RUNNABLE, 3).rows:
        claimed += len(rows)
        for row in rows:
            assert store.journal.write([finish(row.workflow_uuid, row.epoch)]) == [()]
    print(claimed, flush=True)
"""


def test_processes_share_a_file_without_losing_or_doubling_anything(store: Store, sqlite_url: str) -> None:
    store.journal.write([start(f"q-{n}", status="ENQUEUED", queue_name="q") for n in range(60)])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER_PROCESS, sqlite_url, f"p{n}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd(),
        )
        for n in range(4)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=50)[0] for process in processes]
    assert sum(int(answer) for answer in answers) == 60  # each was claimed once
    assert run_sql(sqlite_url, "select status, count(*) from workflow_status group by status order by 1") == [
        ("PENDING", 1),
        ("SUCCESS", 60 + 4 * 20),
    ]
    assert run_sql(sqlite_url, "select count(*) from operation_outputs") == [(4 * 20 * 2,)]
    assert run_sql(sqlite_url, "pragma integrity_check") == [("ok",)]
