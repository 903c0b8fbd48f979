"""Imports every module of examples in this folder: they fill the list of scenarios."""

from importlib import import_module
from pathlib import Path

NO_EXAMPLES = ("test_", "conftest", "__init__", Path(__file__).stem)

for path in sorted(Path(__file__).parent.glob("*.py")):
    if not path.stem.startswith(NO_EXAMPLES):
        import_module(f"{__package__}.{path.stem}")
