"""Connections that open in threads of their own, so that whoever waits for one can be told to leave.

A server that is away refuses at once, more often than not. A network that swallows everything, an engine whose hooks
hang, and above all a connection pooler in front of a server that is away let us wait: for minutes, if they are so set.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any

import psycopg

from dbos.store.database import StoreClosed

Opened = tuple[psycopg.Connection[Any], bool]  # and whether the session behind it is its own


class Openings:
    """Everything of one database that is about to open."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()  # guards everything below
        self._pending: set[Future[Opened]] = set()
        self._given_up = False

    def open(self, connect: Callable[[], Opened]) -> Opened:
        """What `connect` returns or raises. Raises StoreClosed if that is given up meanwhile."""
        future: Future[Opened] = Future()
        with self._mutex:
            if self._given_up:
                raise StoreClosed("The system database is closed")
            self._pending.add(future)
        thread = threading.Thread(target=_open, args=(connect, future), name="dbos-opening", daemon=True)
        try:
            try:
                thread.start()
            except RuntimeError:  # the system has no more of them: then whoever closes has to wait for this one
                _open(connect, future)
            else:
                future.exception()  # waits
                thread.join()
            return future.result()
        except CancelledError:
            raise StoreClosed("The system database is closed") from None
        except BaseException:  # of ours, or of what opens
            _abandon(future)
            raise
        finally:
            with self._mutex:
                self._pending.discard(future)
            del future  # an error would be in a circle with it, by way of this frame

    def give_up(self) -> None:
        """From any thread: nothing opens any more. What comes later is closed by the thread that opened it."""
        with self._mutex:
            self._given_up = True
            pending = list(self._pending)
        for future in pending:
            future.cancel()


def _open(connect: Callable[[], Opened], future: Future[Opened]) -> None:
    try:
        opened = connect()
    except BaseException as error:
        if future.set_running_or_notify_cancel():
            future.set_exception(error)
    else:
        if future.set_running_or_notify_cancel():
            future.set_result(opened)
        else:
            opened[0].close()
    finally:
        del future  # as above


def _abandon(future: Future[Opened]) -> None:
    """Nobody waits any more: the thread closes what it opens, or we do if it has already."""
    if not future.cancel() and future.exception() is None:
        future.result()[0].close()
