"""How long does a fresh interpreter take to `import dbos`? (Nothing else of ours is imported before.)"""

from __future__ import annotations

import time

started = time.perf_counter()
import dbos  # noqa: E402, F401  the import is what is timed

elapsed_seconds = time.perf_counter() - started

from session import Session  # noqa: E402

Session().report(elapsed_seconds * 1000)
