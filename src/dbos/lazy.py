"""Modules of the standard library that are imported when something of them is first used.

Importing `asyncio` takes as long as importing all of ours, and programs without coroutines need none of it. The others
take less, and most programs need them late or never.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    import inspect
    import ipaddress
    import random
    import uuid

__all__ = ["LazyModule", "asyncio", "inspect", "ipaddress", "random", "running_loop", "uuid"]


class LazyModule:
    """Stands for a module, whose names it shares from the first look on: who replaces one replaces it here as well."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, name: str) -> Any:
        module = importlib.import_module(self.__name__)  # waits for a thread that is importing it
        self.__dict__ = vars(module)
        return getattr(module, name)


if not TYPE_CHECKING:
    asyncio = LazyModule("asyncio")
    inspect = LazyModule("inspect")
    ipaddress = LazyModule("ipaddress")
    random = LazyModule("random")
    uuid = LazyModule("uuid")


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs on this thread, if one does. Before anybody has imported asyncio there is none."""
    return asyncio._get_running_loop() if "asyncio" in sys.modules else None
