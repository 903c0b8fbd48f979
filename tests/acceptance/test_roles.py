"""api.md §14.4: roles that functions require, who lets whom in, and what is recorded of it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dbos import DBOS, DBOSConfiguredInstance, DBOSContextSetAuth, Queue, SetWorkflowID, error
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import run_sql

Who = tuple[str | None, list[str] | None, str | None]


def who() -> Who:
    return DBOS.authenticated_user, DBOS.authenticated_roles, DBOS.assumed_role


def rows(database_url: str) -> int:
    (count,) = run_sql(database_url, "select count(*) from workflow_status")[0]
    return int(count)


def test_the_first_required_role_that_the_user_has_is_assumed(launch: Launch, database_url: str) -> None:
    @DBOS.required_roles(["root", "admin", "user"])
    @DBOS.workflow()
    def above() -> Who:
        return who()

    @DBOS.workflow()
    @DBOS.required_roles(["user", "admin"])
    def below() -> Who:
        return who()

    @DBOS.workflow()
    @DBOS.required_roles(["user"])
    async def coroutine() -> Who:
        return who()

    launch()
    with DBOSContextSetAuth("bob", ["user", "admin"]):
        assert above() == ("bob", ["user", "admin"], "admin")
        assert below() == ("bob", ["user", "admin"], "user")
        assert asyncio.run(coroutine()) == ("bob", ["user", "admin"], "user")
        assert DBOS.start_workflow(above).get_result() == ("bob", ["user", "admin"], "admin")
        assert who() == ("bob", ["user", "admin"], None)
    (status,) = DBOS.list_workflows(name=below.__qualname__)
    assert (status.authenticated_user, status.authenticated_roles, status.assumed_role) == (
        "bob",
        ["user", "admin"],
        "user",
    )


@pytest.mark.parametrize("how", ["call", "start", "enqueue"])
def test_whoever_lacks_the_roles_is_refused_before_anything_is_written(
    launch: Launch, database_url: str, how: str
) -> None:
    queue = Queue("q")

    @DBOS.required_roles(["admin"])
    @DBOS.workflow()
    def workflow() -> None: ...

    @DBOS.required_roles(["admin"])
    @DBOS.workflow()
    async def coroutine() -> None: ...

    launch()
    ways: dict[str, list[Callable[[], Any]]] = {
        "call": [workflow, lambda: asyncio.run(coroutine())],
        "start": [
            lambda: DBOS.start_workflow(workflow),
            lambda: asyncio.run(DBOS.start_workflow_async(coroutine)),
        ],
        "enqueue": [lambda: queue.enqueue(workflow), lambda: asyncio.run(queue.enqueue_async(coroutine))],
    }
    for attempt in ways[how]:
        with pytest.raises(error.DBOSNotAuthorizedError, match=r"requires a role.*without authentication") as refusal:
            attempt()
        assert refusal.value.status_code == 403
        assert str(refusal.value).startswith("DBOS Error 8: ")
        with DBOSContextSetAuth("bob", None), pytest.raises(error.DBOSNotAuthorizedError, match="requires a role"):
            attempt()
        for roles in ([], ["user"]):
            with (
                DBOSContextSetAuth("bob", roles),
                pytest.raises(error.DBOSNotAuthorizedError, match="not authenticated for any of them"),
            ):
                attempt()
    assert rows(database_url) == 0


def test_steps_are_protected_too_and_have_a_role_of_their_own(launch: Launch) -> None:
    @DBOS.step()
    def open_step() -> Who:
        return who()

    @DBOS.step()
    @DBOS.required_roles(["user"])
    def for_users() -> Who:
        return who()

    @DBOS.required_roles(["user"])
    @DBOS.step()
    async def for_users_async() -> Who:
        return who()

    @DBOS.required_roles(["root"])
    @DBOS.step()
    def for_root() -> Who:
        return who()

    @DBOS.required_roles(["admin"])
    @DBOS.workflow()
    async def workflow() -> list[Any]:
        try:
            for_root()
        except error.DBOSNotAuthorizedError as refusal:
            return [open_step(), for_users(), await for_users_async(), who(), refusal.msg]
        raise AssertionError

    launch()
    with DBOSContextSetAuth("bob", ["user", "admin"]), SetWorkflowID("w"):
        *seen, message = asyncio.run(workflow())
    bob = "bob", ["user", "admin"]
    assert seen == [(*bob, "admin"), (*bob, "user"), (*bob, "user"), (*bob, "admin")]
    assert "for_root has required roles" in message
    assert [step["function_id"] for step in DBOS.list_workflow_steps("w")] == [1, 2, 3]  # a refusal is no step
    with pytest.raises(error.DBOSNotAuthorizedError):
        for_users()
    with DBOSContextSetAuth("bob", ["user"]):
        assert for_users() == ("bob", ["user"], "user")
        assert DBOS.start_workflow(for_users).get_result() == ("bob", ["user"], "user")


def test_a_protected_step_stays_so_as_a_step_made_on_the_spot(launch: Launch) -> None:
    @DBOS.required_roles(["user"])
    @DBOS.step()
    def for_users() -> Who:
        return who()

    @DBOS.required_roles(["user"])
    @DBOS.step()
    async def for_users_async() -> Who:
        return who()

    @DBOS.workflow()
    def workflow() -> list[Who]:
        return [DBOS.run_step(None, for_users), DBOS.reserve_step().run(None, for_users), who()]

    @DBOS.workflow()
    async def workflow_async() -> list[Who]:
        return [await DBOS.run_step_async(None, for_users_async), who()]

    launch()
    with DBOSContextSetAuth("eve", ["guest"]):
        with SetWorkflowID("w"), pytest.raises(error.DBOSNotAuthorizedError):
            workflow()
        with pytest.raises(error.DBOSNotAuthorizedError):
            asyncio.run(workflow_async())
    assert DBOS.list_workflow_steps("w") == []  # a refusal is no step
    bob = "bob", ["user"]
    with DBOSContextSetAuth(*bob):
        assert workflow() == [(*bob, "user"), (*bob, "user"), (*bob, None)]
        assert asyncio.run(workflow_async()) == [(*bob, "user"), (*bob, None)]


def test_a_transaction_is_protected(launch: Launch) -> None:
    @DBOS.transaction()
    @DBOS.required_roles(["admin"])
    def transaction() -> Who:
        return who()

    @DBOS.workflow()
    def workflow() -> Who:
        return transaction()

    launch()
    with DBOSContextSetAuth("eve", ["user"]):
        with pytest.raises(error.DBOSNotAuthorizedError):
            transaction()
        with pytest.raises(error.DBOSNotAuthorizedError):
            workflow()
    with DBOSContextSetAuth("bob", ["admin"]):
        assert transaction() == workflow() == ("bob", ["admin"], "admin")


def test_children_inherit_the_identity_and_what_it_assumed(launch: Launch) -> None:
    queue = Queue("q")

    @DBOS.workflow()
    def child() -> Who:
        return who()

    @DBOS.required_roles(["user"])
    @DBOS.workflow()
    def strict() -> Who:
        return who()

    @DBOS.required_roles(["admin"])
    @DBOS.workflow()
    def parent() -> list[Who]:
        return [child(), strict(), DBOS.start_workflow(child).get_result(), queue.enqueue(strict).get_result(), who()]

    launch()
    with DBOSContextSetAuth("bob", ["admin", "user"]):
        seen = parent()
    assert [role for _, _, role in seen] == ["admin", "user", "admin", "user", "admin"]
    assert {user for user, _, _ in seen} == {"bob"}


def test_a_recovered_workflow_is_who_it_was(launch: Launch, replay: Replay) -> None:
    @DBOS.required_roles(["user", "admin"])
    @DBOS.workflow()
    def workflow() -> Who:
        return who()

    launch()
    with DBOSContextSetAuth("bob", ["admin", "user"]), SetWorkflowID("w"):
        assert workflow() == ("bob", ["admin", "user"], "user")
    with DBOSContextSetAuth("eve", []):
        assert replay("w").get_result() == ("bob", ["admin", "user"], "user")


def test_what_was_enqueued_by_name_is_checked_when_it_runs(launch: Launch) -> None:
    Queue("q")

    @DBOS.required_roles(["admin"])
    @DBOS.workflow(name="guarded")
    def guarded() -> Who:
        return who()

    @DBOS.required_roles(["boss"])
    @DBOS.workflow()
    def boss() -> str:
        return DBOS.enqueue_workflow_with_options({"queue_name": "q", "workflow_name": "guarded"}).workflow_id

    launch()
    options: Any = {"queue_name": "q", "workflow_name": "guarded"}
    with pytest.raises(error.DBOSNotAuthorizedError, match="without authentication"):
        DBOS.enqueue_workflow_with_options(options).get_result()
    options |= {"authenticated_user": "ann"}
    with pytest.raises(error.DBOSNotAuthorizedError, match="not authenticated for any"):
        DBOS.enqueue_workflow_with_options({**options, "authenticated_roles": ["user"]}).get_result()
    handle = DBOS.enqueue_workflow_with_options({**options, "authenticated_roles": ["user", "admin"]})
    assert handle.get_result() == ("ann", ["user", "admin"], "admin")
    with DBOSContextSetAuth("bob", ["boss"]):  # whose role lets him in elsewhere, not here
        workflow_id = boss()
    with pytest.raises(error.DBOSNotAuthorizedError, match="not authenticated for any"):
        DBOS.get_result(workflow_id)


@pytest.mark.parametrize("outside", [True, False])
def test_classes_have_defaults_that_methods_override(launch: Launch, outside: bool) -> None:
    def decorated(cls: type) -> Any:
        if outside:
            return DBOS.default_required_roles(["admin"])(DBOS.dbos_class()(cls))
        return DBOS.dbos_class()(DBOS.default_required_roles(["admin"])(cls))

    class Shop(DBOSConfiguredInstance):
        @DBOS.workflow()
        def closed(self) -> Who:
            return who()

        @DBOS.required_roles([])
        @DBOS.workflow()
        def open(self) -> Who:
            return who()

        @DBOS.required_roles(["clerk"])
        @DBOS.workflow()
        def for_clerks(self) -> Who:
            return who()

        @classmethod
        @DBOS.workflow()
        def of_class(cls) -> Who:
            return who()

        @staticmethod
        @DBOS.workflow()
        def static() -> Who:
            return who()

        @DBOS.step()
        def step(self) -> Who:
            return who()

    shop = decorated(Shop)("shop")
    launch()
    assert shop.open() == (None, None, None)
    for closed in (shop.closed, shop.for_clerks, Shop.of_class, Shop.static, shop.step):
        with pytest.raises(error.DBOSNotAuthorizedError):
            closed()
    with DBOSContextSetAuth("bob", ["admin"]):
        for mine in (shop.closed, Shop.of_class, Shop.static, shop.step):
            assert mine() == ("bob", ["admin"], "admin")
        assert shop.open() == ("bob", ["admin"], None)
        with pytest.raises(error.DBOSNotAuthorizedError):
            shop.for_clerks()
    with DBOSContextSetAuth("ann", ["clerk"]):
        assert shop.for_clerks() == ("ann", ["clerk"], "clerk")


def test_the_outermost_roles_count(launch: Launch) -> None:
    @DBOS.required_roles(["admin"])
    @DBOS.workflow()
    @DBOS.required_roles(["user"])
    def around() -> Who:
        return who()

    @DBOS.workflow()
    @DBOS.required_roles(["admin"])
    @DBOS.required_roles(["user"])
    def twice() -> Who:
        return who()

    launch()
    for workflow in (around, twice):
        with DBOSContextSetAuth("bob", ["admin"]):
            assert workflow() == ("bob", ["admin"], "admin")
        with DBOSContextSetAuth("bob", ["user"]), pytest.raises(error.DBOSNotAuthorizedError):
            workflow()


def test_a_plain_function_is_not_left_unprotected() -> None:
    @DBOS.required_roles(["admin"])
    def plain() -> Who:
        return who()

    @DBOS.required_roles(["admin"])
    async def coroutine() -> Who:
        return who()

    for call in (plain, lambda: asyncio.run(coroutine())):
        with pytest.raises(error.DBOSNotAuthorizedError):
            call()
        with DBOSContextSetAuth("bob", ["admin"]):
            assert call() == ("bob", ["admin"], "admin")
    assert (plain.__name__, plain.__module__) == ("plain", __name__)


@pytest.mark.parametrize("roles", ["admin", b"admin", None, 3, ["admin", 3], [""], ["a\0b"], lambda: None])
def test_roles_that_cannot_be_are_refused_at_decoration(roles: Any) -> None:
    for decorator in (DBOS.required_roles, DBOS.default_required_roles):
        with pytest.raises(error.DBOSException):
            decorator(roles)


def test_roles_in_the_wrong_place_are_refused_at_decoration() -> None:
    def function() -> None: ...

    for wrong in (staticmethod(function), classmethod(function), int, 3):
        with pytest.raises(error.DBOSException, match="required_roles"):
            DBOS.required_roles(["admin"])(wrong)  # type: ignore[arg-type]
    with pytest.raises(error.DBOSException, match="classes"):
        DBOS.default_required_roles(["admin"])(function)  # type: ignore[type-var]
