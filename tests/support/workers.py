"""Real processes for a test to start, command, stop, resume and kill. The program they run is worker.py."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future
from typing import Any, Self

PATIENCE_SECONDS = 30.0  # for an answer: far beyond what anything takes on a busy machine


class WorkerError(Exception):
    """A command failed in the worker; the message carries its own words."""


class WorkerGone(WorkerError):
    """The worker ended before it answered."""


class Worker:
    """One process of ours."""

    def __init__(self, workers: Workers, connection: socket.socket, pid: int) -> None:
        self.pid = pid
        self._workers = workers
        self._connection = connection
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()  # guards the two below
        self._unanswered: dict[int, Future[Any]] = {}
        self._hung_up = False
        self._exit_code: int | None = None
        self._listener = threading.Thread(target=self._listen, name=f"worker-{pid}", daemon=True)
        self._listener.start()

    def begin(self, command: str, *arguments: Any) -> Future[Any]:
        """Ask for something; the answer comes when it comes. Fails with WorkerError."""
        future: Future[Any] = Future()
        with self._lock:
            if self._hung_up:
                future.set_exception(WorkerGone(f"worker {self.pid} is gone"))
                return future
            number = next(self._numbers)
            self._unanswered[number] = future
        line = json.dumps({"number": number, "command": command, "arguments": arguments}).encode() + b"\n"
        try:
            self._connection.sendall(line)
        except OSError:
            pass  # it died this moment: the listener fails the future
        return future

    def call(self, command: str, *arguments: Any, timeout_seconds: float = PATIENCE_SECONDS) -> Any:
        """Ask for something and wait for the answer."""
        return self.begin(command, *arguments).result(timeout_seconds)

    @property
    def hung_up(self) -> bool:
        """Has its end of the connection been closed? Soon after its death it is."""
        with self._lock:
            return self._hung_up

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self, timeout_seconds: float = PATIENCE_SECONDS) -> int:
        """The exit code, negative for a signal, once the process has ended."""
        if self._exit_code is None:
            self._exit_code = self._workers.reap(self.pid, timeout_seconds)
            self._listener.join(timeout_seconds)
        return self._exit_code

    def hang_up(self) -> None:
        """Let go of the process; it ends when it notices, or is killed by the server."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it hung up first
        self._listener.join(PATIENCE_SECONDS)

    def _listen(self) -> None:
        try:
            with self._connection, self._connection.makefile("rb") as lines:
                for line in lines:
                    self._answer(json.loads(line))
        except OSError:
            pass  # killed in the middle of a word
        with self._lock:
            self._hung_up = True
            unanswered, self._unanswered = self._unanswered, {}
        for future in unanswered.values():
            future.set_exception(WorkerGone(f"worker {self.pid} ended before it answered"))

    def _answer(self, answer: dict[str, Any]) -> None:
        with self._lock:
            future = self._unanswered.pop(answer["number"])
        if "error" in answer:
            future.set_exception(WorkerError(answer["error"]))
        else:
            future.set_result(answer["value"])


class Workers:
    """The server that forks workers. Leaving the `with` block ends all of them, whatever state they are in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # one request at a time; guards the control connection and _workers
        self._workers: list[Worker] = []
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "tests.support.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
            )

    def start(self, config: dict[str, Any], ledger: str, host: str | None = None) -> Worker:
        """A new process, not launched yet. `host` lets it believe that it runs on a machine of that name."""
        ours, theirs = socket.socketpair()
        with theirs:
            pid = self._ask({"fork": {"config": config, "ledger": ledger, "host": host}}, theirs.fileno())
        worker = Worker(self, ours, pid)
        self._workers.append(worker)
        return worker

    def reap(self, pid: int, timeout_seconds: float) -> int:
        """Wait for the end of a worker. Raises WorkerError if it does not come."""
        exit_code: int | None = self._ask({"reap": pid, "timeout_seconds": timeout_seconds})
        if exit_code is None:
            raise WorkerError(f"worker {pid} still runs after {timeout_seconds} s\n{self.output()}")
        return exit_code

    def dismiss(self) -> None:
        """End every worker that still lives, at once."""
        for worker in self._workers:
            if worker._exit_code is None:
                worker.kill()
                worker.wait()
            worker.hang_up()
        self._workers.clear()

    def output(self) -> str:
        """What all of them printed."""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode(errors="replace")

    def close(self) -> None:
        """End everything."""
        self.dismiss()
        self._control.close()
        self._server.wait(PATIENCE_SECONDS)
        self._output.close()

    def _ask(self, request: dict[str, Any], *descriptors: int) -> Any:
        with self._lock:
            socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
            answer = self._control.recv(1024)
        if not answer:
            raise WorkerError(f"the server of workers is gone\n{self.output()}")
        return json.loads(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
