"""What abandoned tasks say when they are collected.

Tests of crashes abandon tasks by the thousand, and asyncio logs those that failed when the garbage collector finds
them: at any allocation, so in the middle of `ast.parse` too. To format the traceback, Python 3.11 parses its lines; and
a parse within a parse fails the outer one there with "AST constructor recursion depth mismatch".
"""

import contextlib
import logging
from collections.abc import Iterator


class _WithoutTraceback(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if "exception was never retrieved" in record.getMessage():  # of a task or a future: the message names it
            record.exc_info = None
        return True


@contextlib.contextmanager
def parsing_nothing() -> Iterator[None]:
    """Until then, what asyncio logs of the collected has no tracebacks."""
    brief = _WithoutTraceback()
    logger = logging.getLogger("asyncio")
    logger.addFilter(brief)
    try:
        yield
    finally:
        logger.removeFilter(brief)
