"""What is over in a bounded time, though it waits for others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def cut_short(seconds: float, cut: Callable[[], object], name: str) -> Generator[None]:
    """If the body takes longer, `cut` is called on a thread of that name, and has to end what the body waits for.

    Where the system has no thread left, nobody is there to call it: what ends late does end.
    """
    timer = threading.Timer(seconds, cut)
    timer.name, timer.daemon = name, True
    try:
        timer.start()
        started = True
    except RuntimeError:
        started = False
    try:
        yield
    finally:
        if started:
            timer.cancel()
            timer.join()
