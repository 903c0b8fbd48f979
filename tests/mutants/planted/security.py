"""Values of somebody else's that run where people look at them."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PICKLES = "tests/security/test_pickles.py::{}[sqlite]"

MUTANTS = (
    Mutant(
        "a command reads what is pickled",
        "cli/database.py",
        "_for_people = True",
        "_for_people = False",
        PICKLES.format("test_commands_run_nothing"),
    ),
    Mutant(
        "the admin server reads what is pickled",
        "api/admin_controls.py",
        "self.codec = engine.codec.for_people()",
        "self.codec = engine.codec",
        PICKLES.format("test_the_admin_server_runs_nothing"),
    ),
    Mutant(
        "for people names of pickles are looked up after all",
        "model/serialization/viewing.py",
        '        return _NamedType(name.rpartition(".")',
        '        return super().find_class(module, name) or _NamedType(name.rpartition(".")',
        PICKLES.format("test_commands_run_nothing"),
    ),
    Mutant(
        "for people a code of a pickle is looked up",
        "model/serialization/viewing.py",
        "    if _extensions() and any(",
        "    if not _extensions() and any(",
        "tests/model/test_viewing.py::test_what_is_named_by_a_code_is_not_looked_up",
    ),
    Mutant(
        "a value that is only shown is written as if it had been read",
        "model/serialization/viewing.py",
        '        raise TypeError("it was not read',
        '        return str, ("",)\n        raise TypeError("it was not read',
        PICKLES.format("test_a_schedule_whose_context_was_only_shown_is_not_run_with_it"),
    ),
    Mutant(
        "with pickle refused pickles are read",
        "model/serialization/codec.py",
        "        if not self._allow_pickle:\n            raise DBOSDeserializationError(",
        "        if not self._allow_pickle and not text:\n            raise DBOSDeserializationError(",
        PICKLES.format("test_where_pickle_is_off_none_is_read"),
    ),
    Mutant(
        "the password of a mistyped URL shows",
        "model/database_url.py",
        "_USERINFO if _has_scheme(url) else _MISTYPED_USERINFO",
        "_USERINFO",
        "tests/security/test_passwords.py::test_a_project_file_shows_no_password",
    ),
    Mutant(
        "a fork takes no partition that is not ASCII",
        "api/forking.py",
        "        require_place(engine, require_queue_name(queue_name), placement)",
        "        (queue_partition_key or '').encode('ascii')\n"
        "        require_place(engine, require_queue_name(queue_name), placement)",
        "tests/security/test_texts.py::test_every_text_parameter_takes_or_refuses_every_text[sqlite]",
    ),
)
