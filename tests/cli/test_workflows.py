"""`dbos workflow`: each command for a person, for a pipe and for a script, on both databases."""

import re
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from typing import Any

import pytest

from dbos import DBOS, DBOSClient, SetEnqueueOptions, SetWorkflowID, WorkflowStatus
from tests.cli.conftest import Ran, Run
from tests.support.proxy import PostgresProxy

Command = Callable[..., Ran]
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


class Unlucky(Exception):
    """An error with a tab, a line break and an escape sequence in its text."""


@pytest.fixture
def on_shop(launch: Callable[..., type[DBOS]], database_url: str, run: Run) -> Command:
    """Runs commands on the database of an application that has done `good` and `bad`, and has `later` on a queue."""

    @DBOS.step(name="price")
    def price(item: str) -> int:
        if item == "anvil":
            raise Unlucky("too heavy:\t\x1b[31m\n60 kg")
        return len(item)

    @DBOS.workflow(name="buy")
    def buy(*items: str) -> int:
        return sum(price(item) for item in items)

    @DBOS.workflow(name="stocktaking")
    def stocktaking(planned: datetime, context: Any) -> str:
        return f"{planned:%d %B}"

    launch(name="shop", application_version="v1", console_log_level="CRITICAL")  # stderr belongs to the commands
    DBOS.register_queue("waiting", concurrency=1)
    with SetWorkflowID("good"):
        buy("tea", "pot")
    with SetWorkflowID("bad"), pytest.raises(Unlucky):
        buy("tea", "anvil")
    with SetWorkflowID("later"), SetEnqueueOptions(delay_seconds=3600):
        DBOS.enqueue_workflow("waiting", buy, "sugar")

    def command(*arguments: str, **kwargs: Any) -> Ran:
        return run(*arguments, "-s", database_url, **kwargs)

    return command


def test_list(on_shop: Command) -> None:
    piped = on_shop("workflow", "list")
    assert (piped.code, piped.err) == (0, "")
    assert [row[:3] for row in piped.rows] == [
        ["good", "SUCCESS", "buy"],
        ["bad", "ERROR", "buy"],
        ["later", "DELAYED", "buy"],
    ]
    assert [row[5:] for row in piped.rows] == [["", "v1", "local"], ["", "v1", "local"], ["waiting", "v1", ""]]

    table = on_shop("workflow", "list", terminal=True).out.split("\n")
    assert table[1].split() == ["workflow", "id", "status", "name", "created", "ended", "queue"]
    assert [line.split()[:3] for line in table[3:6]] == [row[:3] for row in piped.rows]

    found = on_shop("workflow", "list", "--json").json
    assert [each["workflow_id"] for each in found] == ["good", "bad", "later"]
    assert set(found[0]) == {field.name for field in fields(WorkflowStatus)}
    assert found[0]["input"] == {"args": ["tea", "pot"], "kwargs": {}}
    assert (found[0]["output"], found[1]["error"]) == (6, "Unlucky: too heavy:\t\x1b[31m\n60 kg")


FILTERS = {
    "-S ERROR -S DELAYED": ["bad", "later"],
    "--status error": ["bad"],
    "-n buy --limit 1": ["good"],
    "-l 1 -o 1 --sort-desc": ["bad"],
    "-q waiting": ["later"],
    "-p go": ["good"],
    "-v v1 -a shop -t 2020-01-01": ["good", "bad", "later"],
    "-v v2": [],
    "-a another": [],
    "-u nobody": [],
    "-e 2020-01-01T00:00:00Z": [],
}


def test_filters(on_shop: Command) -> None:
    for options, expected in FILTERS.items():
        assert [row[0] for row in on_shop("workflow", "list", *options.split()).rows] == expected, options
    assert "Nothing found" in on_shop("workflow", "list", "-v", "v2", terminal=True).err


def test_queued(on_shop: Command) -> None:
    assert [row[0] for row in on_shop("workflow", "queue", "list").rows] == ["later"]
    assert "later" in on_shop("workflow", "queue", "list", "-q", "waiting", terminal=True).out
    assert on_shop("workflow", "queue", "list", "-q", "another", "--json").json == []


def test_get(on_shop: Command) -> None:
    piped = dict(on_shop("workflow", "get", "bad").rows)
    assert piped["status"] == "ERROR"
    assert piped["input"] == '{"args": ["tea", "anvil"], "kwargs": {}}'
    assert piped["error"] == r"Unlucky: too heavy:\t\x1b[31m\n60 kg"  # nothing stored steers a terminal
    person = on_shop("workflow", "get", "good", terminal=True).out
    assert ["output", "6"] in [line.split() for line in person.splitlines()]
    assert on_shop("workflow", "get", "good", "--json").json["output"] == 6


def test_steps(on_shop: Command) -> None:
    first, second = on_shop("workflow", "steps", "bad").rows
    assert (first[:2], first[5:]) == (["1", "price"], ["", "3", ""])
    assert (second[:2], second[7]) == (["2", "price"], r"Unlucky: too heavy:\t\x1b[31m\n60 kg")

    drawn = on_shop("workflow", "steps", "bad", terminal=True).out.splitlines()
    assert drawn[0].split() == ["bad", "buy", "ERROR"]
    assert drawn[4].split()[:2] == ["1", "price"]
    assert drawn[5].split()[:3] == ["✗", "2", "price"]
    assert all(set(line.rstrip()[-1]) <= set("▏▎▍▌▋▊▉█") for line in drawn[4:6])
    assert "No steps" in on_shop("workflow", "steps", "later", terminal=True).out

    found = on_shop("workflow", "steps", "good", "--json", "-l", "1", "-o", "1").json
    assert [(step["function_id"], step["output"]) for step in found] == [(2, 3)]


def test_cancel_resume_fork_delete(on_shop: Command, database_url: str) -> None:
    with DBOSClient(system_database_url=database_url) as client:
        assert on_shop("workflow", "cancel", "later", "unknown").rows == [["later"], ["unknown"]]
        assert client.retrieve_workflow("later").get_status().status == "CANCELLED"
        assert on_shop("workflow", "resume", "later", terminal=True).out == "Resumed later\n"
        assert client.get_result("later") == 5

        forked = on_shop("workflow", "fork", "good", "-S", "2", "-f", "again", "--json")
        assert forked.json == {"workflow_id": "again", "forked_from": "good"}
        assert client.get_result("again") == 6
        assert [each.workflow_id for each in client.list_workflows(forked_from="good")] == ["again"]

        (new,) = on_shop("workflow", "fork", "bad", "--from-failure").rows[0]
        with pytest.raises(Unlucky):
            client.get_result(new)

        assert on_shop("workflow", "delete", "good", terminal=True, says="n\n").code == 130
        assert len(client.list_workflows(workflow_id_prefix="good")) == 1
        assert on_shop("workflow", "delete", "good", "--yes", "--json").json == {"workflow_ids": ["good"]}
        assert client.list_workflows(workflow_id_prefix="good") == []


def test_rewind_export_import_rename(on_shop: Command, database_url: str, run: Run) -> None:
    with DBOSClient(system_database_url=database_url) as client:
        assert on_shop("workflow", "rewind", "good", "-S", "2", "--json").json == {"workflow_ids": ["good"]}
        assert client.get_result("good") == 6
        exported = on_shop("workflow", "export", "good")
        on_shop("workflow", "delete", "good", "-y")
        assert on_shop("workflow", "import", says=exported.out, terminal=True).out == "Imported good\n"
        assert client.get_result("good") == 6
        assert on_shop("workflow", "import", says="{").err.startswith("Error: ")
        assert on_shop("rename-application", "-f", "shop", "-t", "store", says="n\n").code == 130
        renamed = on_shop("rename-application", "-f", "shop", "-t", "store", "-y", "--json").json
        assert (renamed["workflows"], renamed["queues"]) == (3, 1)
        assert {each.application_name for each in client.list_workflows()} == {"store"}
    assert ["workflows", "0"] in on_shop("rename-application", "-f", "shop", "-t", "store", "-y").rows
    assert on_shop("rename-application", "-f", "store", "-t", "!", "-y").code == 1


def test_watch_what_has_ended(on_shop: Command) -> None:
    good = on_shop("workflow", "watch", "good")
    assert (good.code, [row[:3] for row in good.rows]) == (
        0,
        [["step", "1", "price"], ["step", "2", "price"], ["workflow", "good", "SUCCESS"]],
    )
    person = on_shop("workflow", "watch", "bad", terminal=True)
    assert person.code == 3
    assert "✗ 2 price" in person.out
    assert "ERROR after" in person.out
    lines = on_shop("workflow", "watch", "good", "--json").out.splitlines()
    assert [line[:9] for line in lines] == ['{"step": ', '{"step": ', '{"workflo']
    waited = on_shop("workflow", "watch", "later", "--timeout", "0")
    assert (waited.code, waited.err) == (6, "Error: Workflow later is still DELAYED after 0 s\n")
    on_shop("workflow", "cancel", "later")
    assert on_shop("workflow", "watch", "later").code == 4


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)  # a file does not go away
def test_watch_survives_a_cut_and_gives_up_on_a_database_that_is_gone(
    on_shop: Command, run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PostgresProxy(database_url) as proxy:

        def watch(meanwhile: Callable[[], None]) -> Ran:
            monkeypatch.setattr("dbos.cli.watching.Lines.running", lambda *_: meanwhile())
            return run("workflow", "watch", "later", "--interval", "0.01", "-s", proxy.url)

        def take_away() -> None:
            proxy.refuse()
            proxy.cut_now()

        def cut_and_cancel() -> None:
            proxy.cut_now()
            DBOS.cancel_workflow("later")

        with monkeypatch.context() as patch:
            patch.setattr("dbos.cli.watching.PATIENCE_SECONDS", 0.2)
            gone = watch(take_away)
        assert (gone.code, gone.out) == (1, "")
        assert re.search(r"has been away for \d+ s: Postgres fails", gone.err)
        proxy.heal()
        assert watch(cut_and_cancel).code == 4


def test_versions(on_shop: Command) -> None:
    assert on_shop("version", "list").rows[0][:2] == ["v1", "shop"]
    assert "v1" in on_shop("version", "list", terminal=True).out
    assert on_shop("version", "list", "--json").json[0]["version_name"] == "v1"
    assert on_shop("version", "set-latest", "v1", "--json").json == {"version_name": "v1"}
    unknown = on_shop("version", "set-latest", "v9")
    assert (unknown.code, unknown.err) == (1, "Error: Version 'v9' was never launched\n")


def test_queues(on_shop: Command) -> None:
    assert on_shop("queue", "list").rows[0][:3] == ["waiting", "shop", "1"]
    assert "waiting" in on_shop("queue", "list", terminal=True).out
    assert on_shop("queue", "get", "waiting", "--json").json["concurrency"] == 1
    assert ["concurrency", "1"] in on_shop("queue", "get", "waiting").rows
    assert on_shop("queue", "delete", "waiting", "-y").rows == [["waiting"]]
    gone = on_shop("queue", "get", "waiting")
    assert (gone.code, gone.err) == (1, "Error: There is no queue 'waiting' in the database\n")


def test_schedules(on_shop: Command, database_url: str) -> None:
    with DBOSClient(system_database_url=database_url, application_name="shop") as client:
        client.create_schedule(schedule_name="nightly", workflow_name="stocktaking", schedule="0 0 * * *")
    assert on_shop("schedule", "list").rows[0][:3] == ["nightly", "ACTIVE", "0 0 * * *"]
    assert "nightly" in on_shop("schedule", "list", terminal=True).out
    assert on_shop("schedule", "pause", "nightly", terminal=True).out == "Paused schedule nightly\n"
    assert on_shop("schedule", "get", "nightly", "--json").json["status"] == "PAUSED"
    assert ["status", "PAUSED"] in on_shop("schedule", "get", "nightly").rows
    assert on_shop("schedule", "list", "-S", "active", "--json").json == []
    assert on_shop("schedule", "resume", "nightly").rows == [["nightly"]]
    assert on_shop("schedule", "trigger", "nightly").out.startswith("sched-nightly-trigger-")
    filled = on_shop("schedule", "backfill", "nightly", "2026-01-01", "2026-01-04", "--json").json
    assert filled["workflow_ids"] == [f"sched-nightly-2026-01-0{day}T00:00:00+00:00" for day in (2, 3)]
    bad = on_shop("schedule", "backfill", "nightly", "soon", "later")
    assert (bad.code, bad.err.count("ISO 8601")) == (1, 1)
    assert on_shop("schedule", "delete", "nightly", "-y", "--json").json == {"schedule_name": "nightly"}
    gone = on_shop("schedule", "pause", "nightly")
    assert (gone.code, gone.err) == (1, "Error: There is no schedule 'nightly'\n")
