"""Signals in processes that tests start. Children inherit what is ignored, but not what is handled."""

from __future__ import annotations

import signal


def let_children_be_stopped() -> None:
    """Undo for children what this process inherited: in the background of a shell, or under `nohup`."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)  # whoever said nohup meant this process
