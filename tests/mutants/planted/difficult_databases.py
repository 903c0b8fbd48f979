"""Poolers, and databases whose settings are against us."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "a small pool opens as many sessions as a large one",
        "store/pool.py",
        "limit = min(MAX_READERS, size - 2)",
        "limit = MAX_READERS",
        "tests/store/test_lifecycle.py::test_every_size_of_pool_works_and_is_kept[postgres-3]",
    ),
    Mutant(
        "a session of a pooler's is set up as if it were ours",
        "store/postgres/pooler.py",
        '        f" where pg_backend_pid() = {connection.info.backend_pid} and ',
        '        f" where ',
        "tests/store/test_pooler.py::test_a_session_of_somebody_elses_is_left_alone",
    ),
    Mutant(
        "a timeout of the role cuts statements of ours off",
        "store/postgres/pooler.py",
        '    "statement_timeout": "\'0\'",\n',
        "",
        "tests/acceptance/test_adverse_database.py::test_hostile_defaults_are_overruled",
    ),
    Mutant(
        "a session that is not durable acknowledges",
        "store/postgres/pooler.py",
        "    \"synchronous_commit\": \"coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on')\",\n",
        "",
        "tests/acceptance/test_adverse_database.py::test_hostile_defaults_are_overruled",
    ),
    Mutant(
        "the encoding of batches is chosen by the URL",
        "store/postgres/database.py",
        "**arguments, **_ENCODING}",
        "**arguments}",
        "tests/acceptance/test_adverse_database.py::test_nobody_chooses_the_encoding_of_batches",
    ),
    Mutant(
        "the encoding of batches is chosen by an engine",
        "store/postgres/pooler.py",
        "{**_FOR_ALL, **_ENCODING}",
        "{**_FOR_ALL}",
        "tests/acceptance/test_adverse_database.py::test_nor_does_the_engine_of_the_user",
    ),
    Mutant(
        "the encoding of batches is chosen by a transaction of the user's",
        "store/postgres/session.py",
        '        if connection.info.encoding != "utf-8":\n',
        "        if False:\n",
        "tests/acceptance/test_client_in_transaction.py"
        "::test_a_connection_that_speaks_another_encoding_is_refused[postgres]",
    ),
    Mutant(
        "closing waits for connections that do not open",
        "store/pool.py",
        "        self.database.give_up_opening()\n",
        "",
        "tests/store/test_unknown_commit.py::test_connections_that_do_not_open_do_not_hold_up_closing",
    ),
    Mutant(
        "a connection does not open where there are no more threads",
        "store/postgres/opening.py",
        "            except RuntimeError:  # the system",
        "            except ZeroDivisionError:  # the system",
        "tests/store/test_unknown_commit.py::test_a_lost_connection_is_replaced_where_there_are_no_more_threads",
    ),
    Mutant(
        "ending fails where there are no more threads",
        "overdue.py",
        "    except RuntimeError:\n        started = False\n",
        "    except ZeroDivisionError:\n        started = False\n",
        "tests/acceptance/test_lifecycle.py::test_destroying_takes_no_further_thread[postgres]",
    ),
    Mutant(
        "a hint for which there is no thread breaks what it tells of",
        "store/postgres/notifier.py",
        "                except RuntimeError as error:  # what is gathered",
        "                except ZeroDivisionError as error:  # what is gathered",
        "tests/store/test_hints.py::test_hints_for_which_there_is_no_thread_go_with_the_next[postgres]",
    ),
    Mutant(
        "who hears says that he looks",
        "store/postgres/hints.py",
        "            (pushes if pushed else polls)(because)\n",
        "            (polls if pushed else pushes)(because)\n",
        "tests/acceptance/test_pooler.py::test_the_self_test_says_in_one_line_whether_it_hears[None-push]",
    ),
    Mutant(
        "an answer of nobody's counts as being heard",
        "store/postgres/hints.py",
        '        self._pool.try_once("notify", channel=channel, payload=self._test)\n',
        "        list(self._heard())\n",
        "tests/store/test_hints.py::test_notifications_that_do_not_arrive_are_told_of",
    ),
)
