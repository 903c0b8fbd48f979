"""The `dbos` logger: usable from import on, and printing to stderr once a configuration says at which level.

Records also go on to the root logger, for files, collectors and test tools. When the application prints its logs to the
console itself, our handler keeps quiet, so that nothing is shown twice.
"""

from __future__ import annotations

import logging
import sys

LINE = "%(asctime)s [%(levelname)8s] (%(name)s:%(filename)s:%(lineno)s) %(message)s"
TIME = "%H:%M:%S"

logger = logging.getLogger("dbos")


def level_number(level: object) -> int:
    """The number of a level such as `INFO`; `ValueError` for one that does not exist."""
    if isinstance(level, str):
        number = logging.getLevelNamesMapping().get(level.upper())
        if number is not None:
            return number
    elif isinstance(level, int):
        return level
    raise ValueError(f"Unknown log level {level!r}; use one of DEBUG, INFO, WARNING, ERROR, CRITICAL")


def configure_logger(log_level: str | int, console_log_level: str | int | None = None) -> None:
    """Sets the levels and attaches the console, in place of the one a former call attached."""
    console = _Console()
    console.setLevel(level_number(log_level if console_log_level is None else console_log_level))
    console.setFormatter(logging.Formatter(LINE, TIME))
    logger.setLevel(level_number(log_level))
    for handler in [handler for handler in logger.handlers if isinstance(handler, _Console)]:
        logger.removeHandler(handler)
    logger.addHandler(console)


class _Console(logging.StreamHandler):  # type: ignore[type-arg]  # generic for type checkers only
    """Writes to whatever `sys.stderr` is at the moment, unless the root logger shows the record there anyway."""

    def emit(self, record: logging.LogRecord) -> None:
        if not (logger.propagate and any(map(_shows_on_console, logging.getLogger().handlers))):
            self.stream = sys.stderr
            super().emit(record)


def _shows_on_console(handler: logging.Handler) -> bool:
    stream = getattr(handler, "stream", None)
    if stream is None:
        return hasattr(handler, "console")  # that of rich
    return stream in (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)
