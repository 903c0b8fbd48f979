"""The bugs to plant, one module per family: each has its `MUTANTS`. A new module is found without being listed."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from tests.mutants.mutant import Mutant

FAMILIES: tuple[str, ...] = tuple(module.name for module in iter_modules(__path__))


def mutants_of(family: str) -> tuple[Mutant, ...]:
    """The bugs of one family."""
    found: tuple[Mutant, ...] = import_module(f"{__name__}.{family}").MUTANTS
    return found


MUTANTS: tuple[Mutant, ...] = tuple(mutant for family in FAMILIES for mutant in mutants_of(family))
