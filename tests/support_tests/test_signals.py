"""The suite can stop what it starts, wherever it was started from itself."""

import signal
import subprocess
import sys

import pytest

from tests.support.signals import let_children_be_stopped


def ignored_by_a_child(number: signal.Signals) -> bool:
    code = f"import signal, sys; sys.exit(signal.getsignal({number}) == signal.SIG_IGN)"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_children_heed_what_this_process_was_told_to_ignore(number: signal.Signals) -> None:
    handler = signal.signal(number, signal.SIG_IGN)
    try:
        assert ignored_by_a_child(number)
        let_children_be_stopped()
        assert not ignored_by_a_child(number)
        if number == signal.SIGHUP:
            signal.raise_signal(number)  # it goes on itself, as `nohup` promised
    finally:
        signal.signal(number, handler)
