"""api.md §14.1 - §14.3: workflows as methods of classes and of configured instances."""

import asyncio

import pytest

from dbos import DBOS, DBOSConfiguredInstance, Queue, SetWorkflowID, error
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import count_rows
from tests.support.waiting import Gate


def test_methods_of_an_instance(launch: Launch, replay: Replay) -> None:
    @DBOS.dbos_class("Shop")
    class Shop(DBOSConfiguredInstance):
        def __init__(self, name: str, city: str) -> None:
            super().__init__(config_name=name)
            self.city = city

        @DBOS.step(name="pack")
        def pack(self, item: str) -> str:
            return f"{item} from {self.city}"

        @DBOS.workflow(name="sell")
        def sell(self, item: str, *, count: int = 1) -> str:
            return f"{count} {self.pack(item)}"

        @DBOS.workflow(name="sell_async")
        async def sell_async(self, item: str) -> str:
            return await DBOS.start_workflow_async(self.sell, item) and self.pack(item)

    north, south = Shop("north", "Oslo"), Shop("south", "Rome")
    launch()
    with SetWorkflowID("n"):
        assert north.sell("hat", count=2) == "2 hat from Oslo"
    with SetWorkflowID("s"):
        assert DBOS.start_workflow(south.sell, "hat").get_result() == "1 hat from Rome"
    with SetWorkflowID("a"):
        assert asyncio.run(south.sell_async("cap")) == "cap from Rome"
    first, second = DBOS.list_workflows(name="sell")[:2]
    assert (first.class_name, first.config_name) == ("Shop", "north")
    assert first.input == {"args": ("hat",), "kwargs": {"count": 2}}
    assert (second.class_name, second.config_name) == ("Shop", "south")
    assert replay("n").get_result() == "2 hat from Oslo"
    assert replay("s").get_result() == "1 hat from Rome"
    assert replay("a").get_result() == "cap from Rome"


@pytest.mark.parametrize("way", ["call", "start", "enqueue"])
def test_a_method_that_is_taken_from_the_class_belongs_to_the_instance_it_is_given(
    launch: Launch, replay: Replay, way: str
) -> None:
    @DBOS.dbos_class()
    class Shop(DBOSConfiguredInstance):
        @DBOS.workflow()
        def sell(self, item: str) -> str:
            return f"{item} from {self.config_name}"

    queue = Queue("q")
    north = Shop("north")
    launch()
    with SetWorkflowID("w"):
        match way:
            case "call":
                assert Shop.sell(north, "hat") == "hat from north"
            case "start":
                assert DBOS.start_workflow(Shop.sell, north, "hat").get_result() == "hat from north"
            case "enqueue":
                assert queue.enqueue(Shop.sell, north, "hat").get_result() == "hat from north"
    status = DBOS.get_workflow_status("w")
    assert status is not None
    assert (status.class_name, status.config_name) == (Shop.__qualname__, "north")
    assert status.input == {"args": ("hat",), "kwargs": {}}
    if way != "enqueue":
        assert replay("w").get_result() == "hat from north"
    with pytest.raises(TypeError, match="sell"):
        DBOS.start_workflow(Shop.sell)  # type: ignore[call-arg]


def test_the_instance_is_found_again(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.dbos_class()
        class Counter(DBOSConfiguredInstance):
            @DBOS.workflow()
            def count(self, number: int) -> str:
                gate.pass_through()
                return f"{self.config_name} {number}"

            @classmethod
            @DBOS.workflow()
            def shared(cls, number: int) -> str:
                gate.pass_through()
                return f"{cls.__name__} {number}"

            @staticmethod
            @DBOS.workflow()
            def alone(number: int) -> str:
                gate.pass_through()
                return f"alone {number}"

        one = Counter("one")
        Counter("two")
        launch()
        for workflow_id, func in (("i", one.count), ("c", Counter.shared), ("s", Counter.alone)):
            with SetWorkflowID(workflow_id):
                DBOS.start_workflow(func, 5)
        gate.wait_for_arrival(3)
        launch()
        gate.wait_for_arrival(6)
        gate.open()
        assert [DBOS.get_result(each) for each in "ics"] == ["one 5", "Counter 5", "alone 5"]
    names = {status.workflow_id: (status.class_name, status.config_name) for status in DBOS.list_workflows()}
    assert names == {"i": (Counter.__qualname__, "one"), "c": (Counter.__qualname__, None), "s": (None, None)}


def test_class_and_static_methods(launch: Launch, replay: Replay) -> None:
    @DBOS.dbos_class("Tools")
    class Tools:
        factor = 3

        @classmethod
        @DBOS.workflow(name="Tools.times")
        def times(cls, number: int) -> int:
            return cls.factor * number

        @classmethod
        @DBOS.workflow(name="Tools.times_async")
        async def times_async(cls, number: int) -> int:
            return cls.factor * number

        @staticmethod
        @DBOS.workflow(name="Tools.double")
        def double(number: int) -> int:
            return 2 * number

    launch()
    with SetWorkflowID("c"):
        assert Tools.times(2) == 6
    with SetWorkflowID("a"):
        assert asyncio.run(Tools.times_async(2)) == 6
    with SetWorkflowID("s"):
        assert Tools.double(2) == 4
    assert Tools().times(5) == 15
    assert DBOS.start_workflow(Tools.times, 4).get_result() == 12
    assert DBOS.start_workflow(Tools.double, 4).get_result() == 8
    called, awaited, static = DBOS.list_workflows()[:3]
    assert (called.name, called.class_name, called.config_name) == ("Tools.times", "Tools", None)
    assert called.input == {"args": (2,), "kwargs": {}}
    assert awaited.class_name == "Tools"
    assert (static.name, static.class_name) == ("Tools.double", None)
    assert [replay(each).get_result() for each in "cas"] == [6, 6, 4]


def test_names_of_classes_and_instances_are_unique(launch: Launch) -> None:
    def declare() -> type[DBOSConfiguredInstance]:
        @DBOS.dbos_class("K")
        class K(DBOSConfiguredInstance): ...

        return K

    kind = declare()
    with pytest.raises(Exception, match="Duplicate type registration for class 'K'"):
        declare()
    kind("one")
    with pytest.raises(Exception, match="Duplicate instance registration for class 'K' instance 'one'"):
        kind("one")
    kind("two")
    for wrong in ("", None, 3):
        with pytest.raises(error.DBOSException, match="config_name"):
            kind(wrong)  # type: ignore[arg-type]


def test_an_id_belongs_to_one_instance(launch: Launch) -> None:
    @DBOS.dbos_class()
    class Shop(DBOSConfiguredInstance):
        @DBOS.workflow()
        def sell(self) -> str:
            return self.config_name

    north, south = Shop("north"), Shop("south")
    launch()
    for shop in (north, north):
        with SetWorkflowID("w"):
            assert shop.sell() == "north"
    with (
        SetWorkflowID("w"),
        pytest.raises(error.DBOSConflictingWorkflowError, match="different config name") as conflict,
    ):
        south.sell()
    assert "north" in str(conflict.value)
    assert "south" in str(conflict.value)


def test_the_class_decorator_works_without_parentheses(launch: Launch) -> None:
    @DBOS.dbos_class
    class Bare:
        @classmethod
        @DBOS.workflow()
        def run(cls) -> str:
            return cls.__name__

    launch()
    assert Bare.run() == "Bare"
    assert DBOS.list_workflows()[0].class_name == Bare.__qualname__


def test_an_instance_without_a_registered_class_does_no_harm(launch: Launch) -> None:
    assert DBOSConfiguredInstance("anything").config_name == "anything"


def test_an_instance_may_be_registered_by_hand(launch: Launch, replay: Replay) -> None:
    @DBOS.dbos_class("Plain")
    class Plain:
        config_name = "by hand"

        @DBOS.workflow()
        def run(self) -> str:
            return self.config_name

    instance = Plain()
    DBOS.register_instance(instance)
    launch()
    with SetWorkflowID("w"):
        assert instance.run() == "by hand"
    assert replay("w").get_result() == "by hand"


def test_methods_need_a_registered_receiver(launch: Launch, database_url: str) -> None:
    class Undecorated:
        @DBOS.workflow()
        def run(self) -> None:
            raise AssertionError("must not run")

        @classmethod
        @DBOS.workflow()
        def shared(cls) -> None:
            raise AssertionError("must not run")

    @DBOS.dbos_class()
    class Unconfigured:
        @DBOS.workflow()
        def run(self) -> None:
            raise AssertionError("must not run")

    launch()
    instance = "Function target appears to be a class instance, but is not properly registered"
    kind = "Function target appears to be a class, but is not properly registered"
    for call, text in (
        (Undecorated().run, instance),
        (lambda: DBOS.start_workflow(Undecorated().run), instance),
        (Undecorated.shared, kind),
        (lambda: DBOS.start_workflow(Undecorated.shared), kind),
        (Unconfigured().run, instance),
        (lambda: DBOS.start_workflow(Unconfigured().run), instance),
    ):
        with pytest.raises(error.DBOSException, match=text):
            call()
    assert count_rows(database_url)["workflow_status"] == 0


def test_an_inherited_workflow_runs_as_that_of_its_class(launch: Launch, replay: Replay) -> None:
    @DBOS.dbos_class("Base")
    class Base(DBOSConfiguredInstance):
        word = "base"

        @DBOS.workflow(name="Base.run")
        def run(self) -> str:
            return f"{self.word} {self.config_name}"

    @DBOS.dbos_class("Derived")
    class Derived(Base):
        word = "derived"

    derived = Derived("d")
    launch()
    with SetWorkflowID("w"):
        assert derived.run() == "derived d"
    status = DBOS.retrieve_workflow("w").get_status()
    assert (status.class_name, status.config_name) == ("Base", "d")
    assert replay("w").get_result() == "derived d"


def test_instances_made_after_launch_work(launch: Launch) -> None:
    @DBOS.dbos_class()
    class Late(DBOSConfiguredInstance):
        @DBOS.workflow()
        def run(self) -> str:
            return self.config_name

    launch()
    assert Late("late").run() == "late"
