"""An application in a process of its own, whose workflow goes on when somebody says so: it is watched by the tests."""

import sys

from dbos import DBOS, SetWorkflowID


@DBOS.step(name="greet")
def greet(name: str) -> str:
    return f"Hello, {name}!"


@DBOS.workflow(name="conversation")
def conversation() -> str:
    said = greet("you")
    if DBOS.recv("answer", timeout_seconds=60) == "bad":
        raise ValueError("how rude")
    return said


if __name__ == "__main__":
    DBOS(config={"name": "watched", "system_database_url": sys.argv[1], "log_level": "ERROR"})
    DBOS.launch()
    for workflow_id in sys.argv[2:]:
        with SetWorkflowID(workflow_id):
            DBOS.start_workflow(conversation)
    print("ready", flush=True)
    sys.stdin.read()  # until whoever started us closes it
    DBOS.destroy()
