"""An application without a server: everything it does, it does by the clock.

Run it with `python examples/scheduled_app.py`; it ends after a few seconds. Run it twice at the same time (in one
directory): every tick still runs once.
"""

import threading
from datetime import UTC, datetime

from dbos import DBOS

enough = threading.Event()
ticks: list[datetime] = []
START, END = datetime(2025, 3, 28, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC)


@DBOS.step()
def take_reading(at: datetime) -> int:
    return at.second * 2  # of some sensor


@DBOS.scheduled("* * * * * *")  # six fields: seconds come first
@DBOS.workflow()
def measure(scheduled_time: datetime, actual_time: datetime) -> None:
    assert actual_time >= scheduled_time, "never early"
    take_reading(scheduled_time)
    ticks.append(scheduled_time)
    if len(ticks) == 2:
        enough.set()


@DBOS.workflow()
def report(scheduled_time: datetime, recipients: list[str]) -> str:
    return f"report of {scheduled_time:%d %B %Y, %H:%M %Z} for {' and '.join(recipients)}"


def main() -> None:
    DBOS(config={"name": "scheduled-app", "log_level": "WARNING"})
    DBOS.launch()
    DBOS.apply_schedules(  # on every start: what changed here changes there
        [
            {
                "schedule_name": "morning-report",
                "workflow_fn": report,
                "schedule": "30 7 * * mon-fri",
                "context": ["Ada", "Alan"],
                "cron_timezone": "Europe/London",
            }
        ]
    )
    for handle in DBOS.backfill_schedule("morning-report", START, END):
        print(handle.get_result())

    enough.wait()  # an application that runs for ever waits for ever here
    print(f"{len(ticks)} readings, {(ticks[1] - ticks[0]).seconds} second apart")
    DBOS.destroy()


if __name__ == "__main__":
    main()
