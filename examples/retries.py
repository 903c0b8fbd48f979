"""Retries: a flaky service, an error that is not worth a retry, and a failed workflow that is resumed.

Run it with `python examples/retries.py`.
"""

from dbos import DBOS
from dbos.error import DBOSMaxStepRetriesExceeded

calls = 0
service_is_up = False


class OutOfStock(Exception):
    """Trying again does not help."""


@DBOS.step(retries_allowed=True, max_attempts=4, interval_seconds=0.01, backoff_rate=2.0)
def flaky() -> str:
    global calls
    calls += 1
    if calls < 3:
        raise ConnectionError(f"call {calls} failed")
    assert DBOS.step_status is not None
    return f"answer of attempt {DBOS.step_status.current_attempt}"  # attempts count from 0


@DBOS.step(retries_allowed=True, should_retry=lambda error: not isinstance(error, OutOfStock))
def order_more(item: str) -> str:
    raise OutOfStock(item)


@DBOS.step(retries_allowed=True, max_attempts=2, interval_seconds=0.01)
def needs_service() -> str:
    if not service_is_up:
        raise ConnectionError("the service is down")
    return "the service answered"


@DBOS.workflow()
def patient() -> str:
    answer = flaky()
    try:
        order_more("teapot")
    except OutOfStock as error:
        answer += f", and no {error} at once"
    return answer


@DBOS.workflow()
def unlucky() -> str:
    return needs_service()


def main() -> None:
    global service_is_up
    DBOS(config={"name": "retries", "log_level": "CRITICAL"})  # the failures below are meant
    DBOS.launch()
    print(patient())

    handle = DBOS.start_workflow(unlucky)
    try:
        handle.get_result()
    except DBOSMaxStepRetriesExceeded as error:
        print(f"failed after {len(error.errors)} attempts: {error.errors[-1]}")
    service_is_up = True
    print("resumed:", DBOS.resume_workflow(handle.workflow_id).get_result())
    DBOS.destroy()


if __name__ == "__main__":
    main()
