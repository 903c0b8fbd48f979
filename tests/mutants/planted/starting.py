"""What makes starting light: classes that are finished late, functions told by their code, imports on demand."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FIELDS = "tests/test_fields.py::{}"
CALLABLES = "tests/runtime/test_callables.py::{}"
PUBLIC = "tests/acceptance/test_public_api.py::{}"

MUTANTS = (
    Mutant(
        "a coroutine that was started is left to the garbage collector",
        "runtime/operations/starting.py",
        "            engine.keep(asyncio.get_running_loop().create_task(run_logged_async(attempt, run)))\n",
        "            asyncio.get_running_loop().create_task(run_logged_async(attempt, run))\n",
        "tests/acceptance/test_async.py::test_a_started_coroutine_is_held_although_nobody_holds_its_handle[sqlite]",
    ),
    Mutant(
        "a constructor is given to the class that asks for it, not to the one whose fields it fills",
        "fields.py",
        "setattr(self._owner, self._name, written)",
        "setattr(cls, self._name, written)",
        FIELDS.format("test_ours_do_what_the_standard_ones_do"),
    ),
    Mutant(
        "a field that has a new value each time is given what makes it",
        "fields.py",
        '{name} = _new_{name}()" for',
        '{name} = _new_{name}" for',
        FIELDS.format("test_ours_do_what_the_standard_ones_do"),
    ),
    Mutant(
        "an argument that only goes by its name is not missed",
        "runtime/callables.py",
        " or func.__code__.co_kwonlyargcount",
        "",
        CALLABLES.format("test_whoever_is_certain_is_right"),
    ),
    Mutant(
        "a function is plain, whatever it says about itself",
        "runtime/callables.py",
        "type(func) is FunctionType and not func.__dict__",
        "type(func) is FunctionType",
        CALLABLES.format("test_who_says_more_about_itself_is_asked"),
    ),
    Mutant(
        "what is decorated is looked at by `inspect`",
        "runtime/callables.py",
        "    if is_plain(func):\n        return bool(func.__code__.co_flags & GENERATORS)\n",
        "",
        PUBLIC.format("test_importing_is_light[sqlite]"),
    ),
    Mutant(
        "who listens on Postgres is named by the module `uuid`",
        "store/postgres/hints.py",
        "        sender = uuid4(os.urandom(16))\n",
        "        import uuid\n\n        sender = uuid.uuid4().hex\n",
        PUBLIC.format("test_importing_is_light[postgres]"),
    ),
    Mutant(
        "whoever is interrupted takes the questions of others with it",
        "runtime/questions.py",
        "                    self._asked = batch + self._asked",
        "                    pass",
        "tests/runtime/test_questions.py::test_an_interrupted_thread_leaves_its_question_to_others",
    ),
)
