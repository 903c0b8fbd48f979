"""The Python snippets of the reference, and what surrounds each one when it runs.

A snippet is a fragment: it uses names that it does not define. `Case.before` defines them and `Case.after` looks at
what came of it; the snippet between the two is run as it stands in `seed_reference.md`. Whatever belongs to work that
is still to come is listed by topic, whole snippets in `NOT_YET` and single lines in `Case.later`, so that nothing is
forgotten.
"""

from dataclasses import dataclass, field
from pathlib import Path

REFERENCE = Path(__file__).with_name("seed_reference.md")


def snippets() -> dict[str, str]:
    """The Python blocks of the reference: `Section / Heading` (and ` (2)` for a second one there) -> code."""
    found: dict[str, str] = {}
    section = heading = ""
    lines: list[str] | None = None
    for line in REFERENCE.read_text(encoding="utf-8").splitlines():
        if lines is not None:
            if line != "```":
                lines.append(line)
                continue
            title = f"{section} / {heading}" if heading else section
            number = sum(name == title or name.startswith(f"{title} (") for name in found)
            found[f"{title} ({number + 1})" if number else title] = "\n".join(lines) + "\n"
            lines = None
        elif line == "```python":
            lines = []
        elif line.startswith("## "):
            section, heading = line[3:], ""
        elif line.startswith("### "):
            heading = line[4:]
    return found


@dataclass(frozen=True)
class Case:
    """How a snippet is run.

    `launch`: DBOS is launched before it. `inside`: the head of a function whose body it becomes, for what can only
    stand there. `later`: its lines of later work -> their topic.
    """

    before: str = ""
    after: str = ""
    launch: bool = True
    inside: str = ""
    later: dict[str, str] = field(default_factory=dict)


NOT_YET: dict[str, str] = {}

# Runs a workflow as soon as DBOS is launched, and ends the process, which would otherwise wait forever.
PROBE = """
import os, threading, time
from dbos import DBOS
from dbos.api.launched import launched_engine

@DBOS.workflow()
def answer():
    return 42

def probe():
    while launched_engine() is None:
        time.sleep(0.01)
    os._exit(0 if answer() == 42 else 1)

DBOS(config={"name": "waits", "system_database_url": os.environ["DOCS_DATABASE_URL"]})
threading.Thread(target=probe, daemon=True).start()
"""

CASES = {
    "Workflow Communication / Send/Receive Messages": Case(
        before="""
from dbos import SetWorkflowID

paid = []

@DBOS.step()
def process_payment():
    paid.append(DBOS.workflow_id)

@DBOS.workflow()
def placeholder():
    pass

workflow_id = "early"  # a message may be sent to any workflow there is, also to one that never receives it
with SetWorkflowID(workflow_id):
    placeholder()
""",
        after="""
handle = DBOS.start_workflow(payment_workflow)
DBOS.send(handle.workflow_id, {"status": "approved"}, "payment-topic")
handle.get_result()
assert paid == [handle.workflow_id]
steps = [step["function_name"] for step in DBOS.list_workflow_steps(handle.workflow_id)]
assert steps == ["DBOS.recv", "DBOS.sleep", "process_payment"]
""",
    ),
    "Workflow Communication / Webhook Pattern": Case(
        before="""
from fastapi import FastAPI

app = FastAPI()
submitted = []

@DBOS.step()
def submit_order(order_id):
    submitted.append(order_id)

@DBOS.step()
def handle_timeout(order_id):
    raise AssertionError("nobody confirmed")
""",
        after="""
import httpx

handle = DBOS.start_workflow(order_workflow, "order-1")

import asyncio

async def call():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
        return await client.post(f"/webhook/order-confirmed/{handle.workflow_id}/confirmed")

assert asyncio.run(call()).status_code == 200
assert handle.get_result() == "confirmed" and submitted == ["order-1"]
""",
    ),
    "Workflow Events / Set Event": Case(
        before="""
@DBOS.step()
def get_payment_url(order_id):
    return f"https://pay.example.com/{order_id}"
""",
        after="""
handle = DBOS.start_workflow(checkout_workflow, "order-1")
assert DBOS.get_event(handle.workflow_id, "payment-url") == "https://pay.example.com/order-1"
DBOS.send(handle.workflow_id, True, "payment-complete")
handle.get_result()
steps = [step["function_name"] for step in DBOS.list_workflow_steps(handle.workflow_id)]
assert steps == ["get_payment_url", "DBOS.setEvent", "DBOS.recv", "DBOS.sleep"]
""",
    ),
    "Workflow Events / Get Event": Case(
        before="""
order_id = "order-1"
redirected = []

class RedirectResponse:  # of a web framework that is not there
    def __init__(self, url):
        redirected.append(url)

@DBOS.workflow()
def checkout_workflow(order_id):
    DBOS.set_event("payment-url", f"https://pay.example.com/{order_id}")
""",
        inside="def endpoint():",
        after="""
assert isinstance(endpoint(), RedirectResponse)
assert redirected == ["https://pay.example.com/order-1"]
""",
    ),
    "Workflow Events / Get All Events": Case(
        before="""
from dbos import SetWorkflowID

@DBOS.workflow()
def publish():
    DBOS.set_event("status", "begun")
    DBOS.set_event("total", 3)
    DBOS.set_event("status", "done")

workflow_id = "published"
with SetWorkflowID(workflow_id):
    publish()
""",
        after="""
assert events == {"status": "done", "total": 3}
assert DBOS.get_all_events("nobody") == {}
""",
    ),
    "Queues / Basic Queue Usage": Case(
        before="task = 'sort'",
        after="""
assert result is None
assert (handle.get_status().status, handle.get_status().queue_name) == ("SUCCESS", "example_queue")
""",
    ),
    "Queues / Queue with Concurrency Limits": Case(
        launch=False,
        before="""
import dbos
from dbos.api import launched

declared = []

def Queue(name, **limits):
    launched.forget_registry()  # the snippet shows alternatives, two of them under one name
    declared.append(dbos.Queue(name, **limits))
    return declared[-1]
""",
        after="""
limits = [(each.name, each.concurrency, each.worker_concurrency) for each in declared]
assert limits == [("example_queue", None, 5), ("example_queue", 10, None), ("serial_queue", 1, None)]
""",
    ),
    "Queues / Rate Limiting": Case(
        before="from dbos import Queue",
        after="""
assert queue.limiter == {"limit": 50, "period": 30}

@DBOS.workflow()
def task():
    return "done"

assert queue.enqueue(task).get_result() == "done"
""",
    ),
    "Queues / Parallel Task Processing with Queues": Case(
        before="from dbos import Queue",
        after="""
handle = queue.enqueue(parallel_processor, ["a", "b", "c"])
assert handle.get_result() == [None, None, None]
names = [step["function_name"] for step in DBOS.list_workflow_steps(handle.workflow_id)]
assert names == ["process_task"] * 3 + ["DBOS.getResult"] * 3
""",
    ),
    "Queues / Queue Partitioning": Case(
        before="""
from dbos import Queue

@DBOS.workflow()
def task_workflow(task):
    return task
""",
        after="""
on_user_task("ada", "sort")
on_user_task("bob", "search")
first, second = (DBOS.retrieve_workflow(each.workflow_id) for each in DBOS.list_workflows())
assert (first.get_result(), second.get_result()) == ("sort", "search")
assert [each.get_status().queue_partition_key for each in (first, second)] == ["ada", "bob"]
""",
    ),
    "Queues / Deduplication": Case(
        before="""
import threading
from dbos import Queue

user_id, task = "ada", "sort"
queue = Queue("deduplicated")
gate = threading.Event()

@DBOS.workflow()
def task_workflow(task):
    assert gate.wait(30)
    return task
""",
        after="""
with SetEnqueueOptions(deduplication_id="user-ada"):
    try:
        queue.enqueue(task_workflow, task)
    except dboserror.DBOSQueueDeduplicatedError as refusal:
        assert (refusal.queue_name, refusal.deduplication_id) == ("deduplicated", "user-ada")
    else:
        raise AssertionError("two workflows have one deduplication id")
gate.set()
assert handle.get_result() == "sort"
with SetEnqueueOptions(deduplication_id="user-ada"):
    assert queue.enqueue(task_workflow, task).get_result() == "sort"
""",
    ),
    "Queues / Priority": Case(
        before="""
from dbos import Queue, SetEnqueueOptions

urgent_task, normal_task = "urgent", "normal"

@DBOS.workflow()
def task_workflow(task):
    return task
""",
        after="""
first, second = DBOS.list_workflows()
assert (first.priority, second.priority) == (1, 100)
assert [DBOS.get_result(each.workflow_id) for each in (first, second)] == ["urgent", "normal"]
""",
    ),
    "Queues / Queue Timeouts": Case(
        before="""
from dbos import Queue

queue, task = Queue("bounded"), "sort"

@DBOS.workflow()
def task_workflow(task):
    return task
""",
        after="""
(workflow,) = DBOS.list_workflows()
assert DBOS.get_result(workflow.workflow_id) == "sort"
assert workflow.workflow_timeout_ms == 60_000
""",
    ),
    "Workflow Management / List Queued Workflows": Case(
        before="""
@DBOS.workflow()
def pay(amount):
    return amount

waiting = DBOS.enqueue_workflow("payment_queue", pay, 5)  # nobody serves it
DBOS.enqueue_workflow("another_queue", pay, 6)
""",
        after="""
assert [workflow.workflow_id for workflow in queued] == [waiting.workflow_id]
assert queued[0].input == {"args": (5,), "kwargs": {}}
""",
    ),
    "Scheduled Workflows / Scheduled-Only App (No HTTP Server)": Case(launch=False, before=PROBE),
    "Scheduled Workflows / Scheduled-Only App (No HTTP Server) (2)": Case(launch=False, before=PROBE),
    "Scheduled Workflows": Case(
        before="""
import datetime, time
from dbos.api.launched import current_engine

cleaned = []

def perform_cleanup():
    cleaned.append(DBOS.workflow_id)
""",
        after="""
engine = current_engine()  # the day passes: from here on the database's clock stands two seconds before midnight
day_ms = 86_400_000
now_ms = engine.clock.now_ms()
ahead_ms = day_ms - now_ms % day_ms - 2_000
read_ms = engine.clock._read_ms
engine.clock._read_ms = lambda: read_ms() + ahead_ms
engine.clock.synchronise()
engine.waiters.wake("service", "scheduler")
while not cleaned:
    time.sleep(0.01)
midnight = datetime.datetime.fromtimestamp((now_ms // day_ms + 1) * 86_400, datetime.UTC)
assert cleaned == [f"sched-daily_cleanup-{midnight.isoformat()}"]
""",
    ),
    "Debouncing": Case(
        before="""
from dbos import DBOS

analyzed = []

def analyze_input(user_input):
    analyzed.append(user_input)
""",
        after="""
for typed in ("h", "he", "hello"):
    on_user_input("ada", typed)
(waiting,) = DBOS.list_workflows()
assert (waiting.status, waiting.input) == ("DELAYED", {"args": ("hello",), "kwargs": {}})
assert 59_000 < waiting.delay_until_epoch_ms - waiting.updated_at <= 60_000
DBOS.set_workflow_delay(waiting.workflow_id, delay_seconds=0)
DBOS.get_result(waiting.workflow_id)
assert analyzed == ["hello"]
""",
    ),
    "Debouncing / Debouncer with Timeout": Case(
        before="""
from dbos import DBOS, Debouncer, Queue

@DBOS.workflow()
def process_input(user_input):
    return user_input

my_queue = Queue("my_queue")
""",
        after="""
handle = debouncer.debounce("ada", 3600, "hello")
status = handle.get_status()
assert (status.status, status.queue_name) == ("DELAYED", "my_queue")
assert status.delay_until_epoch_ms - status.created_at == 300_000
DBOS.set_workflow_delay(handle.workflow_id, delay_seconds=0)
assert handle.get_result() == "hello"
""",
    ),
    "Debouncing / Async Debouncer": Case(
        before="""
from dbos import DBOS, Debouncer

@DBOS.workflow()
async def async_workflow(first, second):
    return first + second

key, period_sec, args = "ada", 0.05, (20, 22)
""",
        after="""
(debounced,) = await DBOS.list_workflows_async()
assert await DBOS.get_result_async(debounced.workflow_id) == 42
""",
    ),
    "External Client": Case(
        before="""
import os
from dbos import DBOS, Queue, SetWorkflowID

@DBOS.workflow()
def data_pipeline(task):
    return f"{task} done"

Queue("pipeline_queue")
task_arg, workflow_id = "load", "earlier"
with SetWorkflowID(workflow_id):
    data_pipeline("extract")
""",
        after="""
assert result == "load done"
assert handle.get_result() == "extract done"
client.destroy()
""",
    ),
    "Async Workflows": Case(
        before="""
import asyncio, sys, types
from dbos import SetWorkflowID

workflow_id, topic, timeout_seconds, key, value = "talk", "topic", 30, "key", "published"
message = {"said": "hello"}

class Response:  # of a web server that is not there
    async def __aenter__(self):
        return self
    async def __aexit__(self, *error):
        pass
    async def text(self):
        return "<html>"

class ClientSession(Response):
    def get(self, url):
        assert url == "https://example.com"
        return Response()

sys.modules["aiohttp"] = types.SimpleNamespace(ClientSession=ClientSession)

@DBOS.step()
def sync_transaction(body):
    return len(body)
""",
        inside="@DBOS.workflow()\nasync def talk():\n    global handle, message, value",
        after="""
from dbos.api.launched import current_engine

with SetWorkflowID(workflow_id):
    await talk()
assert (message, value) == ({"said": "hello"}, "published")
assert await DBOS.get_all_events_async(workflow_id) == {"key": "published"}

while "DBOS.sleep" not in [step["function_name"] for step in await DBOS.list_workflow_steps_async(handle.workflow_id)]:
    await asyncio.sleep(0.01)
engine = current_engine()  # the ten seconds pass: from here on the database's clock is ahead
read_ms = engine.clock._read_ms
engine.clock._read_ms = lambda: read_ms() + 10_000
engine.clock.synchronise()
engine.waiters.wake("attempt", handle.workflow_id)

assert await handle.get_result() == len("<html>")
steps = await DBOS.list_workflow_steps_async(handle.workflow_id)
names = [step["function_name"].rpartition(".")[2] for step in steps]
assert names == ["sleep", "fetch_url", "sync_transaction"]
""",
    ),
    "Transactions": Case(
        before="""
import os
import sqlalchemy
from dbos import DBOS, SetWorkflowID

url = os.environ["DOCS_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
engine = sqlalchemy.create_engine(url)
with engine.begin() as connection:
    connection.execute(sqlalchemy.text("drop table if exists greetings"))
    connection.execute(sqlalchemy.text("create table greetings (name text, note text)"))
engine.dispose()
""",
        after="""
@DBOS.workflow()
def greet():
    insert_greeting("ada", "hello")
    raw_insert("alan", "good day")
    return [get_greeting("ada"), get_greeting("alan"), get_greeting("nobody")]

with SetWorkflowID("greeting"):
    assert greet() == ["hello", "good day", None]
steps = DBOS.list_workflow_steps("greeting")
assert [step["function_name"] for step in steps][:3] == ["insert_greeting", "raw_insert", "get_greeting"]
assert steps[2]["output"] == "hello"
insert_greeting("outside", "of a workflow")
assert get_greeting("outside") == "of a workflow"
""",
    ),
    "Workflow Streaming / Write to Stream": Case(
        before="""
@DBOS.step()
def process_item(item):
    return item * item
""",
        after="""
handle = DBOS.start_workflow(processing_workflow, [1, 2])
assert list(DBOS.read_stream(handle.workflow_id, "progress")) == [
    {"item": 1, "result": 1},
    {"item": 2, "result": 4},
]
assert handle.get_result() is None
""",
    ),
    "Workflow Streaming / Read from Stream": Case(
        before="""
@DBOS.workflow()
def processing_workflow(items):
    for item in items:
        DBOS.write_stream("progress", item)

items = ["a", "b"]
received = []
print = received.append
""",
        after="""
assert received == ["Received: a", "Received: b"]
""",
    ),
    "Workflow Handles": Case(
        before="""
@DBOS.workflow()
def my_workflow(first, second):
    return first + second

arg1, arg2 = 20, 22

from dbos import Queue
queue = Queue("handles")
""",
        after="""
assert handle.get_result() == handle.get_result() == 42
assert handle.get_status().workflow_id == handle.get_workflow_id() == handle.workflow_id
assert handle.get_status().status == "SUCCESS"
""",
    ),
    "Workflow Handles / WorkflowStatus": Case(
        before="""
from typing import Any, Optional
WorkflowInputs = dict
""",
        after="""
@DBOS.workflow()
def answer(question):
    return 42

handle = DBOS.start_workflow(answer, "?")
assert handle.get_result() == 42
status = handle.get_status()
for name in WorkflowStatus.__annotations__:
    getattr(status, name)
assert (status.status, status.name, status.recovery_attempts) == ("SUCCESS", "answer", 1)
assert (status.input, status.output, status.error) == ({"args": ("?",), "kwargs": {}}, 42, None)
assert status.created_at <= status.updated_at and status.app_version == DBOS.application_version
assert status.class_name is status.config_name is status.queue_name is None
""",
    ),
    "Workflow Management / List Workflows": Case(
        before="""
@DBOS.workflow()
def checkout_workflow(seconds):
    DBOS.sleep(seconds)

@DBOS.workflow()
def other_workflow():
    DBOS.sleep(60)

checkout_workflow(0)
pending, other = DBOS.start_workflow(checkout_workflow, 60), DBOS.start_workflow(other_workflow)
""",
        after="""
assert [workflow.workflow_id for workflow in workflows] == [pending.workflow_id]
DBOS.cancel_workflows([pending.workflow_id, other.workflow_id])
""",
    ),
    "Workflow Management / List Workflow Steps": Case(
        before="""
from dbos import SetWorkflowID

@DBOS.step()
def fails():
    raise KeyError("lost")

@DBOS.workflow()
def child():
    return "of age"

@DBOS.workflow()
def parent():
    try:
        fails()
    except KeyError:
        return child()

workflow_id = "listed"
with SetWorkflowID(workflow_id):
    parent()
""",
        after="""
assert [step["function_id"] for step in steps] == [1, 2, 3]
assert [step["function_name"] for step in steps] == ["fails", "child", "DBOS.getResult"]
assert [step["output"] for step in steps] == [None, None, "of age"]
assert [step["child_workflow_id"] for step in steps] == [None, "listed-2", "listed-2"]
assert isinstance(steps[0]["error"], KeyError) and steps[0]["error"].args == ("lost",)
""",
    ),
    "Workflow Management / Cancel Workflow": Case(
        before="""
@DBOS.step()
def first():
    return 1

@DBOS.workflow()
def long_workflow():
    DBOS.sleep(60)
    return first()

handle = DBOS.start_workflow(long_workflow)
workflow_id = handle.workflow_id
""",
        after="""
from dbos import error

try:
    handle.get_result()
except error.DBOSAwaitedWorkflowCancelledError as cancelled:
    assert cancelled.workflow_id == workflow_id
else:
    raise AssertionError("the workflow was not cancelled")
assert handle.get_status().status == "CANCELLED" and handle.get_status().queue_name is None
assert "first" not in [step["function_name"] for step in DBOS.list_workflow_steps(workflow_id)]
""",
    ),
    "Workflow Management / Fork Workflow": Case(
        before="""
runs = []

@DBOS.step()
def note(number):
    runs.append(number)

@DBOS.workflow()
def workflow():
    for number in (1, 2, 3):
        note(number)
    return DBOS.workflow_id

workflow_id = DBOS.start_workflow(workflow).workflow_id
DBOS.get_result(workflow_id)
""",
        after="""
assert handle.workflow_id == "new-workflow-id"
status = handle.get_status()
assert (status.status, status.app_version, status.forked_from) == ("ENQUEUED", "v2.0", workflow_id)
assert len(DBOS.list_workflow_steps("new-workflow-id")) == 2
""",
    ),
    "Workflow Management / Resume Workflow": Case(
        before="""
calls = []

@DBOS.step()
def succeeds():
    calls.append("succeeds")
    return 40

@DBOS.step()
def fails_once():
    calls.append("fails once")
    if calls.count("fails once") == 1:
        raise RuntimeError("not yet")
    return 2

@DBOS.workflow()
def two_steps():
    return succeeds() + fails_once()

failed = DBOS.start_workflow(two_steps)
try:
    failed.get_result()
except RuntimeError:
    workflow_id = failed.workflow_id
""",
        after="""
assert handle.get_result() == 42
assert handle.workflow_id == workflow_id and handle.get_status().status == "SUCCESS"
assert calls == ["succeeds", "fails once", "fails once"]  # on from the last completed step
""",
    ),
    "Configuration": Case(
        launch=False,
        before="import os",
        after="""
@DBOS.workflow()
def answer():
    return 42

assert answer() == 42
assert DBOS.application_version == "1.0.0"
DBOS.destroy()
""",
    ),
    "Configuration / Custom Serialization": Case(
        launch=False,
        before="from dbos import DBOS, DBOSConfig",
        after="""
import os

config["system_database_url"] = os.environ["DOCS_DATABASE_URL"]
DBOS(config=config)
DBOS.launch()

@DBOS.step()
def shout(word):
    return word.upper()

@DBOS.workflow()
def greet(name):
    return shout(name)

handle = DBOS.start_workflow(greet, "ada")
assert handle.get_result() == "ADA"
assert handle.get_status().output == "ADA"
assert DBOS.list_workflow_steps(handle.workflow_id)[0]["output"] == "ADA"
DBOS.destroy()
""",
    ),
    "Class-Based Workflows": Case(
        launch=False,
        before="""
import os, sys, types
from dbos import DBOS

class Response:  # of a web server that is not there
    text = "<html>"

def get(url):
    assert url == "https://example.com"
    return Response()

sys.modules["requests"] = types.SimpleNamespace(get=get)
DBOS(config={"name": "fetcher", "system_database_url": os.environ["DOCS_DATABASE_URL"]})
""",
        after="""
(workflow,) = DBOS.list_workflows()
assert (workflow.class_name, workflow.config_name) == ("URLFetcher", "https://example.com")
assert workflow.output == "<html>" and workflow.input == {"args": (), "kwargs": {}}
DBOS.destroy()
""",
    ),
    "Context Variables": Case(
        before="""
from sqlalchemy.orm import Session
from dbos.runtime.context import inside_transaction

transaction = inside_transaction("as if inside one", None, Session())
transaction.__enter__()
""",
        after="""
assert isinstance(DBOS.sql_session, Session)
transaction.__exit__(None, None, None)
import logging

@DBOS.workflow()
def who():
    return DBOS.workflow_id

handle = DBOS.start_workflow(who)
assert handle.get_result() == handle.workflow_id
assert DBOS.workflow_id is None
assert isinstance(DBOS.logger, logging.Logger)
""",
    ),
}
