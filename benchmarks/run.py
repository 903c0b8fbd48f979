"""Measure this checkout beside the original release: `python benchmarks/run.py --help`, or `make bench`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # started as a script, we see only our own folder

from benchmarks.command import main

sys.exit(main())
