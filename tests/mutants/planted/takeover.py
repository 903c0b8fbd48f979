"""Cancellation, and workflows that somebody else takes."""

from __future__ import annotations

from tests.mutants.killers import PROMISES
from tests.mutants.mutant import Mutant

CANCEL_POINTS = (
    "tests/crash/test_cancel_points.py::test_a_cancelled_task_records_nothing_and_its_workflow_is_recovered[sqlite-{}]"
)
CANCELLATION = "tests/crash/test_cancellation.py::{}[sqlite]"
TAKEOVER = "tests/crash/test_takeover.py::{}[sqlite]"

MUTANTS = (
    Mutant(
        "the seam cancels no task",
        "testing/crashing.py",
        "(self._cancels and not in_task)",
        "self._cancels",
        CANCEL_POINTS.format("coroutines-sequence"),
    ),
    Mutant(
        "deleting stops who takes the id meanwhile",
        "runtime/announcing.py",
        "        engine.supersede(workflow_id, Status.PENDING, before.get(workflow_id))\n        engine.waiters.wake(",
        "        engine.supersede(workflow_id, Status.PENDING, engine.attempt_of(workflow_id))\n"
        "        engine.waiters.wake(",
        "tests/acceptance/test_forking.py::test_deleting_does_not_stop_who_takes_the_id_meanwhile[sqlite]",
    ),
    Mutant(
        "a launch that could not say goodbye keeps its workflows from the next",
        "services/recovery.py",
        "dead += self.known_dead\n",
        "pass\n",
        "tests/acceptance/test_endings.py::"
        "test_what_a_launch_leaves_goes_on_with_the_next_though_it_could_not_say_goodbye[sqlite]",
    ),
    Mutant(
        "a resume stops what it made run",
        "runtime/executor.py",
        "        if attempt is not None and not attempt.ended:\n            attempt.revoke(status)\n",
        "        if (attempt := self._active.get(workflow_id)) is not None:\n            attempt.revoke(status)\n",
        "tests/acceptance/test_steering.py::test_a_resume_does_not_stop_what_it_made_run[sqlite]",
    ),
    Mutant(
        "nobody looks whether the workflow is still ours",
        "runtime/context.py",
        "        return self.revoked is not None or time.monotonic() - self.verified_at > FRESH_SECONDS\n",
        "        return False\n",
        PROMISES.format("test_no_step_begins_after_a_cancellation"),
    ),
    Mutant(
        "a thread waits until the outcome of what it ran is written",
        "runtime/interpreters.py",
        "        while effect is not None and type(effect) is not Commit:\n",
        "        while effect is not None:\n",
        "tests/acceptance/test_costs.py::"
        "test_a_workflow_in_the_background_keeps_no_thread_while_its_outcome_is_written[sqlite]",
    ),
    Mutant(
        "outcomes wait for a thread behind the workflows that have them all",
        "runtime/background.py",
        "run.context, engine.resuming.submit, ended)",
        "run.context, engine.threads.submit, ended)",
        "tests/acceptance/test_costs.py::test_an_outcome_is_told_while_other_workflows_have_all_the_threads[sqlite]",
    ),
    Mutant(
        "what breaks at the end of one workflow breaks the end of others",
        "runtime/interpreters.py",
        "            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))\n",
        "            raise\n",
        "tests/acceptance/test_costs.py::test_a_log_that_breaks_leaves_nobody_waiting_for_other_workflows[sqlite]",
    ),
    Mutant(
        "an outcome is dropped if the system has no thread left",
        "store/reply.py",
        "        except RuntimeError:  # there is no thread, or no more: whoever was answered is not left hanging\n"
        "            _resume(waiting)\n",
        "        except RuntimeError:\n            pass\n",
        "tests/acceptance/test_costs.py::test_an_outcome_is_told_when_the_system_has_no_thread_left[sqlite]",
    ),
    Mutant(
        "coroutines wait for an event loop that got no thread",
        "runtime/hosts.py",
        "                self._loop, self._thread = self._start()\n",
        "                self._loop = asyncio.new_event_loop()\n"
        "                self._loop, self._thread = self._start()\n",
        "tests/runtime/test_hosts.py::test_where_no_event_loop_is_to_be_had_the_next_one_asks_again",
    ),
    Mutant(
        "run_step lets everybody in",
        "runtime/roles.py",
        "return authorized(function) if function is not None and function.required_roles else nullcontext()",
        "return nullcontext()",
        "tests/acceptance/test_roles.py::test_a_protected_step_stays_so_as_a_step_made_on_the_spot[sqlite]",
    ),
    Mutant(
        "a cancelled task is an outcome",
        "runtime/interpreters.py",
        "        return Outcome(await effect.call())\n    except Exception as error:\n",
        "        return Outcome(await effect.call())\n    except BaseException as error:\n",
        CANCEL_POINTS.format("coroutines-sequence"),
    ),
    Mutant(
        "a cancellation during a commit is lost",
        "runtime/interpreters.py",
        "    task.get_loop().call_soon(_strike, task)\n",
        "",
        "tests/acceptance/test_async.py::test_a_timeout_during_a_commit_is_not_lost[sqlite]",
    ),
    Mutant(
        "orphans are never looked for",
        "services/recovery.py",
        "        if overdue:\n",
        "        if overdue and self._lease_seconds < 0:\n",
        PROMISES.format("test_a_cancelled_task_leaves_its_workflow_to_the_process_it_ran_in"),
    ),
    Mutant(
        "children are looked for once",
        "runtime/operations/management.py",
        "        reached.update(late)\n",
        "        return\n",
        CANCELLATION.format("test_cancel_reaches_a_grandchild_that_is_started_meanwhile"),
    ),
    Mutant(
        "whoever begins last wins",
        "runtime/executor.py",
        "other is not None and other.epoch > attempt.epoch",
        "False",
        TAKEOVER.format("test_a_workflow_taken_over_before_it_began_is_run_by_the_newer_attempt"),
    ),
)
