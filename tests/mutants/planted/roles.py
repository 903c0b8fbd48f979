"""Who may run what."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

ROLES = "tests/acceptance/test_roles.py::{}"

MUTANTS = (
    Mutant(
        "roles: nobody is asked for authentication",
        "runtime/roles.py",
        "    if identity.roles is None:\n        raise",
        "    if identity.roles is None:\n        return identity\n        raise",
        ROLES.format("test_whoever_lacks_the_roles_is_refused_before_anything_is_written[sqlite-call]"),
    ),
    Mutant(
        "roles: any role that was assumed elsewhere lets a workflow of a queue in",
        "runtime/roles.py",
        "if identity.assumed_role in (function.required_roles or ())",
        "if identity.assumed_role",
        ROLES.format("test_what_was_enqueued_by_name_is_checked_when_it_runs[sqlite]"),
    ),
    Mutant(
        "roles: what was enqueued is not checked",
        "runtime/queued.py",
        "        asked = on_behalf(asked, callee)\n",
        "",
        ROLES.format("test_whoever_lacks_the_roles_is_refused_before_anything_is_written[sqlite-enqueue]"),
    ),
    Mutant(
        "roles: a recovered workflow is nobody",
        "runtime/claimed.py",
        "        identity_of(row),\n",
        "        type(identity_of(row))(),\n",
        ROLES.format("test_a_recovered_workflow_is_who_it_was[sqlite]"),
    ),
    Mutant(
        "roles: defaults of a class overrule its methods",
        "api/roles.py",
        "if function is not None and function.required_roles is None:",
        "if function is not None:",
        ROLES.format("test_classes_have_defaults_that_methods_override[sqlite-True]"),
    ),
)
