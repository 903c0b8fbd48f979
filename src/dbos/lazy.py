"""`asyncio`, imported when something of it is first used.

Importing it takes as long as importing all of ours, and programs without coroutines need none of it.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

__all__ = ["LazyModule", "asyncio", "running_loop"]


class LazyModule(ModuleType):
    """Stands for a module, and remembers what it was asked for: only the first look at a name costs anything."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(importlib.import_module(self.__name__), name)
        setattr(self, name, value)
        return value


if not TYPE_CHECKING:
    asyncio = LazyModule("asyncio")


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs on this thread, if one does. Before anybody has imported asyncio there is none."""
    return asyncio._get_running_loop() if "asyncio" in sys.modules else None
