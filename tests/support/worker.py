"""The program of a worker process: launches the test application and does what the test tells it, line by line.

Runs as a small server that has everything imported and forks a worker for each request, which takes milliseconds
where a new interpreter takes half a second. The server itself has one thread and no connection, so forking it is safe.
A worker reads commands (JSON lines) from its socket and answers each from a thread of its own; workers.py is the other
end.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import dbos.services.recovery
from dbos import DBOS, Debouncer, Queue, SetEnqueueOptions, SetWorkflowID, SetWorkflowTimeout
from dbos.api.launched import current_engine
from tests.support import worker_workflows
from tests.support.worker_death import Death

REAP_POLL_SECONDS = 0.001
REQUEST_BYTES = 65_536
GARBAGE_PAUSE_SECONDS = 0.001
REAL_TIME, REAL_TIME_NS = time.time, time.time_ns


class Commands:
    """What a test can ask of a worker: every public method, by name."""

    def __init__(self, config: dict[str, Any], ledger: str, host: str | None) -> None:
        self._config = config
        worker_workflows.keep_ledger(ledger)
        if host is not None:  # a machine of its own: nobody can tell from outside whether its processes live
            dbos.services.recovery.host_identity = lambda: host

    def launch(self) -> None:
        DBOS(config=self._config)  # type: ignore[arg-type]
        DBOS.launch()

    def destroy(self) -> None:
        DBOS.destroy()

    def die_at(self, commit: int, phase: Any) -> None:
        """From now on, be killed at this commit of the journal."""
        dialect = self._config["system_database_url"].partition(":")[0]
        Death(commit, phase).await_journal(dialect)

    def use_transactions(self) -> None:
        """Before the launch: declare the workflows that write to a database of the user's."""
        import tests.support.worker_transactions  # noqa: F401 (loads SQLAlchemy, which few tests need)

    def die_in_transaction(self, phase: str, side: str, number: int) -> None:
        """From now on, be killed before or after this phase of the n-th transaction."""
        from tests.support.worker_transactions import die_in_transaction

        die_in_transaction(phase, side, number)

    def start(self, name: str, workflow_id: str, *args: Any) -> None:
        with SetWorkflowID(workflow_id):
            DBOS.start_workflow(worker_workflows.WORKFLOWS[name], *args)

    def start_many(self, name: str, ids: list[str], *args: Any) -> None:
        for workflow_id in ids:
            self.start(name, workflow_id, *args)

    def start_within(self, seconds: float, name: str, workflow_id: str, *args: Any) -> None:
        """Start with a deadline."""
        with SetWorkflowTimeout(seconds):
            self.start(name, workflow_id, *args)

    def run(self, name: str, workflow_id: str, *args: Any) -> Any:
        """Start and wait, as one who asks again after a crash does."""
        with SetWorkflowID(workflow_id):
            return DBOS.start_workflow(worker_workflows.WORKFLOWS[name], *args).get_result()

    def declare(self, queue_name: str, limits: dict[str, Any]) -> None:
        """Declare a queue in this process."""
        Queue(queue_name, **limits)

    def register(self, queue_name: str, limits: dict[str, Any]) -> None:
        """Define a queue in the database."""
        DBOS.register_queue(queue_name, on_conflict="always_update", **limits)

    def enqueue(
        self, queue_name: str, name: str, ids: list[str], partitions: list[str | None], args: list[Any]
    ) -> None:
        for workflow_id, partition in zip(ids, partitions, strict=True):
            with SetWorkflowID(workflow_id), SetEnqueueOptions(queue_partition_key=partition):
                DBOS.enqueue_workflow(queue_name, worker_workflows.WORKFLOWS[name], *args)

    def debounce_many(self, key: str, period_seconds: float, prefix: str, times: int) -> list[tuple[str, str]]:
        """Debounce a note again and again; each label, and the workflow that it was told to be in."""
        debouncer = Debouncer.create(worker_workflows.jot)
        labels = [f"{prefix}{number}" for number in range(times)]
        return [(label, debouncer.debounce(key, period_seconds, label).workflow_id) for label in labels]

    def result(self, workflow_id: str) -> Any:
        return DBOS.retrieve_workflow(workflow_id, existing_workflow=False).get_result()

    def results(self, ids: list[str]) -> list[Any]:
        return [self.result(workflow_id) for workflow_id in ids]

    def result_at(self, workflow_id: str) -> float:
        """When this process heard that a workflow had ended (monotonic clock)."""
        self.result(workflow_id)
        return time.monotonic()

    def cancel(self, workflow_id: str) -> float:
        """Cancel; when that was accepted (monotonic clock)."""
        DBOS.cancel_workflow(workflow_id)
        return time.monotonic()

    def delete(self, workflow_id: str) -> None:
        DBOS.delete_workflow(workflow_id)

    def send(self, workflow_id: str, message: Any, topic: str | None = None, key: str | None = None) -> float:
        """Send; when that was accepted (monotonic clock)."""
        DBOS.send(workflow_id, message, topic, idempotency_key=key)
        return time.monotonic()

    def event_at(self, workflow_id: str, key: str) -> float:
        """When this process heard of an event (monotonic clock)."""
        assert DBOS.get_event(workflow_id, key) is not None
        return time.monotonic()

    def read_stream(self, workflow_id: str, key: str, in_a_coroutine: bool) -> list[Any]:
        """Follow a stream to its end."""
        if not in_a_coroutine:
            return list(DBOS.read_stream(workflow_id, key))

        async def read() -> list[Any]:
            return [value async for value in DBOS.read_stream_async(workflow_id, key)]

        return asyncio.run(read())

    def stream_value(self, workflow_id: str, key: str, offset: int) -> Any:
        """Wait for one value of a stream."""
        return DBOS.read_stream_offset(workflow_id, key, offset)

    def waiting(self) -> list[str]:
        """The workflows of this process that wait for something."""
        return current_engine().waiters.waiting_for("attempt")

    def resume(self, workflow_id: str) -> None:
        DBOS.resume_workflow(workflow_id)

    def schedule(self, name: str, cron: str, automatic_backfill: bool = False) -> None:
        DBOS.create_schedule(
            schedule_name=name,
            workflow_fn=worker_workflows.chime,
            schedule=cron,
            automatic_backfill=automatic_backfill,
        )

    def pause_schedule(self, name: str) -> None:
        DBOS.pause_schedule(name)

    def take_over(self, executor_ids: list[str]) -> list[str]:
        return [handle.workflow_id for handle in DBOS._recover_pending_workflows(executor_ids)]

    def counted(self, name: str) -> dict[str, float]:
        """What a counter says, by the values of its labels, put together."""
        families = {each.description.name: each for each in current_engine().metrics.read()}
        return {" ".join(labels): value for labels, value in families[name].samples.items()}  # type: ignore[misc]

    def use_in_forked_child(self) -> list[str]:
        """What a forked child of this launched process hears when it uses DBOS: one line per attempt."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            told = []
            for use in (
                lambda: DBOS.start_workflow(worker_workflows.parcel, "x"),
                lambda: worker_workflows.parcel("x"),
                DBOS.list_workflows,
            ):
                try:
                    use()
                    told.append("worked")
                except BaseException as error:
                    told.append(f"{type(error).__name__}: {error}")
            os.write(write, json.dumps(told).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            answer: list[str] = json.loads(pipe.read())
        os.waitpid(pid, 0)
        return answer

    def collect_garbage(self) -> None:
        """From now on, all the time, and with every allocation."""
        gc.freeze()  # what was there before takes no part
        gc.set_threshold(1)

        def collect() -> None:
            while True:
                gc.collect()
                time.sleep(GARBAGE_PAUSE_SECONDS)

        threading.Thread(target=collect, daemon=True).start()

    def set_clock(self, seconds: float) -> None:
        """Put the wall clock of this process forward, or back."""
        time.time = lambda: REAL_TIME() + seconds
        time.time_ns = lambda: REAL_TIME_NS() + int(seconds * 1e9)

    def exit(self) -> None:
        os._exit(0)


# ---------------------------------------------------------------- a worker


def work(connection: socket.socket, options: dict[str, Any]) -> None:
    """Obey until the test hangs up."""
    commands = Commands(**options)
    answering = threading.Lock()  # guards the sending side

    def perform(number: int, command: Callable[..., Any], arguments: list[Any]) -> None:
        answer: dict[str, Any] = {"number": number}
        try:
            answer["value"] = command(*arguments)
        except BaseException as error:
            traceback.print_exc()
            answer["error"] = f"{type(error).__name__}: {error}"
        with answering, suppress(OSError):
            connection.sendall(json.dumps(answer).encode() + b"\n")

    with connection.makefile("rb") as lines:
        for line in lines:
            request = json.loads(line)
            command = getattr(commands, request["command"])
            arguments = request["number"], command, request["arguments"]
            threading.Thread(target=perform, args=arguments, daemon=True).start()


# ---------------------------------------------------------------- the server that forks them


def serve(control: socket.socket) -> None:
    """Fork and reap on request until the test process is gone; then leave nobody behind."""
    living: set[int] = set()
    try:
        while True:
            message, descriptors, _, _ = socket.recv_fds(control, REQUEST_BYTES, 1)
            if not message:
                return
            request = json.loads(message)
            if "fork" in request:
                pid = _fork(control, socket.socket(fileno=descriptors[0]), request["fork"])
                living.add(pid)
                control.sendall(json.dumps(pid).encode())
            else:
                exit_code = _reap(request["reap"], request["timeout_seconds"])
                if exit_code is not None:
                    living.discard(request["reap"])
                control.sendall(json.dumps(exit_code).encode())
    finally:
        for pid in living:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _fork(control: socket.socket, connection: socket.socket, options: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            control.close()
            work(connection, options)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    connection.close()
    return pid


def _reap(pid: int, timeout_seconds: float) -> int | None:
    """The exit code of a worker, negative for a signal; None if it still lives after a while."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        gone, status = os.waitpid(pid, os.WNOHANG)
        if gone:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            return None
        time.sleep(REAP_POLL_SECONDS)


if __name__ == "__main__":
    import aiosqlite  # noqa: F401  # once, here, not in every worker
    import psycopg  # noqa: F401
    import sqlalchemy.ext.asyncio  # noqa: F401

    with socket.socket(fileno=int(sys.argv[1])) as parent:
        serve(parent)
