"""The bugs to plant, one module per family: each has its `MUTANTS`. A new module is found without being listed."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = tuple(
    mutant for family in iter_modules(__path__) for mutant in import_module(f"{__name__}.{family.name}").MUTANTS
)
