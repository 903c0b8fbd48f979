"""Python programs without the half second that an interpreter takes to start and to import all of this.

A server, this file as a program, has everything imported and forks itself for each program. What runs is a process of
its own with its own environment, directory, streams and `__main__`. It ends as an interpreter does, but for taking all
modules apart, which takes as long as importing them. Programs whose very start or end is the test's subject take a
real one (`sys.executable`).
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Self

REQUEST_BYTES = 262_144


class Program:
    """A program that runs. Its streams are those that it was started with."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self.pid = int(line.recv(64))

    def wait(self, timeout_seconds: float) -> int:
        """The exit code, negative for a signal. Raises TimeoutExpired, after killing the program."""
        with self._line:
            self._line.settimeout(timeout_seconds)
            try:
                return int(self._line.recv(64))
            except TimeoutError:
                os.kill(self.pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(f"warm python {self.pid}", timeout_seconds) from None


class WarmPython:
    """The server. Warnings are errors in all of its programs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # one request at a time
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "tests.support.warm_python", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def start(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: IO[Any] | None = None,
        stdout: IO[Any] | None = None,
        stderr: IO[Any] | None = None,
    ) -> Program:
        """`python ARGUMENTS`, where the first of them is a file or `-c`."""
        environment = dict(os.environ if env is None else env)
        request = json.dumps({"arguments": arguments, "cwd": str(cwd or Path.cwd()), "environment": environment})
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # its id and its end are two messages
        with theirs, Path(os.devnull).open("r+b") as nothing:
            streams = [(stream or nothing).fileno() for stream in (stdin, stdout, stderr)]
            with self._lock:
                socket.send_fds(self._control, [request.encode()], [theirs.fileno(), *streams])
                assert self._control.recv(1), "the server of warm pythons is gone"
        return Program(ours)

    def run(
        self, arguments: Sequence[str], *, timeout: float, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end, and what it printed."""
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            exit_code = self.start(arguments, cwd=cwd, env=env, stdout=stdout, stderr=stderr).wait(timeout)
            printed = []
            for stream in (stdout, stderr):
                stream.seek(0)
                printed.append(stream.read().decode(errors="replace"))
        return subprocess.CompletedProcess(list(arguments), exit_code, *printed)

    def close(self) -> None:
        self._control.close()
        self._server.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# ---------------------------------------------------------------- the server


def serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork on request until the test process is gone. Returns more than once: a request, in the process that is it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the guardians
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, REQUEST_BYTES, 4)
        if not message:
            return None
        if os.fork() == 0:
            control.close()
            if _become_program(descriptors):
                request: dict[str, Any] = json.loads(message)
                return request
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        control.sendall(b"+")


def _become_program(descriptors: list[int]) -> bool:
    """Fork once more: the program, and its guardian, who tells how it ended."""
    line, *streams = descriptors
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(line)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        return True
    for descriptor in (0, 1, 2, *streams):
        os.close(descriptor)
    with socket.socket(fileno=line) as test, contextlib.suppress(OSError):  # the test may have left
        test.sendall(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        test.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    return False


def execute(request: dict[str, Any]) -> int:
    """Be `python ARGUMENTS`; the exit code."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    what, *rest = request["arguments"]
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__builtins__ = __builtins__  # type: ignore[attr-defined]
    if what == "-c":
        text, *rest = rest
        sys.argv, file, sys.path[0] = ["-c", *rest], "<string>", ""
    else:
        text = Path(what).read_text(encoding="utf-8")
        sys.argv, file, sys.path[0] = [what, *rest], what, str(Path(what).resolve().parent)
        main.__file__ = what
    exit_code = 0
    try:
        exec(compile(text, file, "exec", dont_inherit=True), vars(main))
    except SystemExit as leaving:
        exit_code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        exit_code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return exit_code


if __name__ == "__main__":
    import dbos.store.postgres.lifecycle
    import dbos.store.sqlite.lifecycle
    import dbos.userdata.database  # noqa: F401

    gc.freeze()  # what is here stays: no program has to go through it
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        job = serve(requests)
    if job is not None:
        os._exit(execute(job))
