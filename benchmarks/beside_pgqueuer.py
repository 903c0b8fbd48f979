"""How fast are plain jobs drained, beside pgqueuer on the same Postgres?

    python -m benchmarks.beside_pgqueuer [--jobs N] [--rounds N]

Ten thousand no-ops that wait, one worker process, every run in a process of its own on a fresh database of a throwaway
server with its default durability, in turns. Ours are workflows, whose outcome stays and can be looked up; a job of
pgqueuer is deleted when it is done. pgqueuer runs on uvloop and asyncpg, with its default batch and with larger ones.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path

from benchmarks.databases import PostgresDatabases
from benchmarks.environments import OURS, Environment

PGQUEUER = Environment("pgqueuer", ("pgqueuer[asyncpg]==1.6.0", "uvloop"))
SCRIPTS = Path(__file__).resolve().parent / "jobs"
TIME_LIMIT_SECONDS = 300.0

CONTENDERS: dict[str, tuple[Environment, str, str]] = {
    "ours, async workflows": (OURS, "ours.py", "async"),
    "ours, sync workflows": (OURS, "ours.py", "sync"),
    "pgqueuer, batches of 10, its default": (PGQUEUER, "theirs.py", "10"),
    "pgqueuer, batches of 100": (PGQUEUER, "theirs.py", "100"),
    "pgqueuer, batches of 1,000": (PGQUEUER, "theirs.py", "1000"),
}


def run(environment: Environment, script: str, url: str, *arguments: str) -> str:
    """What a script prints."""
    command = [str(environment.python), str(SCRIPTS / script), url, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=TIME_LIMIT_SECONDS).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for environment in (OURS, PGQUEUER):
        environment.build()
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTENDERS}
    databases = PostgresDatabases()
    try:
        for _ in range(options.rounds):
            for name, (environment, script, variant) in CONTENDERS.items():
                with databases.fresh() as url:
                    run(environment, script, url, str(options.jobs), variant, "fill")
                    whole, bodies = json.loads(run(environment, script, url, str(options.jobs), variant))
                rates[name].append((options.jobs / whole, options.jobs / bodies))
                print(f"{name}: {rates[name][-1][0]:,.0f}/s", flush=True)
    finally:
        databases.close()
    print("| who | launch included | from the first body on |\n| --- | ---: | ---: |")
    for name, found in rates.items():
        whole, bodies = (statistics.median(each) for each in zip(*found, strict=True))
        print(f"| {name} | {whole:,.0f}/s | {bodies:,.0f}/s |")


if __name__ == "__main__":
    main()
