"""Failures as one clear sentence on stderr and an exit code, never a traceback.

0: done; 1: failed; 2: the command line itself is wrong. `dbos workflow watch` has some more for what became of the
workflow. 130: interrupted.
"""

from __future__ import annotations

from typing import Any

import click

from dbos.error import DBOSBaseException, DBOSException, DBOSInitializationError

FAILED = 1
INTERRUPTED = 130

LONGEST_SENTENCE = 1000  # characters, of what a command does


class Failure(click.ClickException):
    """Ends the command with a sentence and an exit code."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.exit_code = code  # type: ignore[misc]  # click reads it from the instance


def fail(sentence: str, code: int = FAILED) -> Failure:
    """What to raise in order to end with this sentence."""
    return Failure(sentence, code)


class Group(click.Group):
    """A group whose commands end with a sentence, whatever the library raises, and are listed with a whole one."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Fold the first sentence of each command where click would cut it off."""
        rows = [
            (name, command.get_short_help_str(LONGEST_SENTENCE))
            for name in self.list_commands(context)
            if (command := self.get_command(context, name)) is not None and not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except DBOSInitializationError as error:
            raise fail(error.detail) from error
        except (DBOSException, DBOSBaseException) as error:
            raise fail(error.message.rstrip()) from error
        except ValueError as error:  # the library's word for a time, a name or a limit that is none
            raise fail(str(error)) from error
        except BrokenPipeError:  # whoever read it has seen enough: click ends in silence
            raise
        except OSError as error:  # a full disk, a directory that is not ours
            raise fail(": ".join(str(part) for part in (error.filename, error.strerror) if part)) from error
        except (KeyboardInterrupt, click.Abort) as interruption:
            raise fail("Interrupted", INTERRUPTED) from interruption
