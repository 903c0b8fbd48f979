"""Bugs of the loops beside user code."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

GOES_ON = "tests/services/test_service.py::test_every_loop_goes_on_after_a_round_that_failed[sqlite-{}]"

MUTANTS = (
    Mutant(
        "a call of the application has no twin",
        "api/facade/events.py",
        "    get_all_events_async = staticmethod(awaitable(events.get_all_events))\n",
        "",
        "tests/acceptance/test_async.py::test_every_blocking_call_has_a_twin",
    ),
    Mutant(
        "a schedule of a client has twins that differ",
        "api/client_schedules.py",
        "    pause_schedule_async = awaitable_method(schedules.pause_schedule)\n",
        "    pause_schedule_async = awaitable_method(schedules.resume_schedule)\n",
        "tests/acceptance/test_client.py::test_every_operation_has_both_faces",
    ),
    Mutant(
        "a class that is imported late has members without documentation",
        "api/client.py",
        '        """Enqueue a workflow by its name; returns as soon as it is durable.\n',
        '        _ = """Enqueue a workflow by its name; returns as soon as it is durable.\n',
        "tests/acceptance/test_public_api.py::test_everything_public_is_documented_and_annotated",
    ),
    Mutant(
        "a loop ends with the first round that fails",
        "services/service.py",
        "if self._stopping or self.engine.closed:",
        "if True:",
        GOES_ON.format("RuntimeError"),
    ),
    Mutant(
        "a loop ends with a round that asks the program to end",
        "services/service.py",
        "except BaseException:  # whatever",
        "except Exception:  # whatever",
        GOES_ON.format("SystemExit"),
    ),
    Mutant(
        "a machine that was suspended does not notice",
        "services/recovery.py",
        "renew = self._was_suspended() or ",
        "renew = ",
        "tests/acceptance/test_sleep.py::test_who_sleeps_through_a_suspension_of_the_machine_wakes_up_with_it[sqlite]",
    ),
    Mutant(
        "the sleepers of a machine that was suspended sleep on",
        "services/recovery.py",
        "            self.engine.waiters.wake_all()\n",
        "            pass\n",
        "tests/acceptance/test_sleep.py::test_who_sleeps_through_a_suspension_of_the_machine_wakes_up_with_it[sqlite]",
    ),
    Mutant(
        "versions: what is compiled from a text has the source of python -c",
        "runtime/fingerprint.py",
        "[] if code.co_filename == _BUILT else _lines",
        "_lines",
        "tests/acceptance/test_configuration_effects.py::test_the_version_follows_the_source_of_the_workflows[sqlite]",
    ),
    Mutant(
        "the end of code that does not know its end is no part of the version",
        "runtime/fingerprint.py",
        "    if not _knows_where_it_ends(code):\n        return inspect.getsource(function)\n",
        "",
        "tests/runtime/test_fingerprint.py",
    ),
    Mutant(
        "who asks after the end is told of our threads",
        "runtime/engine.py",
        "            self.ensure_open()  # of a thread",
        "            pass  # of a thread",
        "tests/acceptance/test_lifecycle.py::test_who_waits_for_his_turn_to_ask_when_it_is_destroyed_is_told[sqlite]",
    ),
)
