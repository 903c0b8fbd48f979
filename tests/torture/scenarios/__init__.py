"""Imports every module of scenarios: they fill the list of all of them."""

from importlib import import_module
from pathlib import Path

for path in sorted(Path(__file__).parent.glob("*.py")):
    if path.stem != "__init__":
        import_module(f"{__package__}.{path.stem}")
