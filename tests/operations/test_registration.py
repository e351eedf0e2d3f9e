"""Operations from objects, classes and modules: what `@operation` marks, what is public, and what their signatures say."""

from __future__ import annotations

import abc
import functools
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowrt import Flow, FlowOperationContainer, FlowRuntime, in_port, operation, parallel
from flowrt.errors import FlowBuildError, OperationError
from flowrt.executors.dispatchers import MainThreadDispatcher
from flowrt.operations.modes import SYNC, Mode
from flowrt.testing import assert_same_in_all_modes, drive
from tests.kit.flows import SCHEDULES, every_schedule, wire
from tests.kit.functions import SECONDS


def names(container: FlowOperationContainer) -> list[str]:
    return [declaration.name for declaration in container]


def modes(container: FlowOperationContainer) -> dict[str, str]:
    return {declaration.name: str(declaration.mode) for declaration in container}


class Greeter:
    """Nothing in it is marked."""

    kind = "greeter"

    def __init__(self, greeting: str = "Hello") -> None:
        self.greeting = greeting
        self.calls = 0

    def greet(self, name: str) -> str:
        return f"{self.greeting}, {name}"

    def now(self) -> str:
        return self.greeting

    def note(self, _name: str) -> None:
        self.calls += 1

    def spell(self, name: str) -> Iterator[str]:
        yield from name

    def halves(self, name, emit):  # its second parameter alone says what it is
        emit(name[: len(name) // 2])
        emit(name[len(name) // 2 :])

    def check(self, name: str, on_long: Callable[[Any], None], on_short: Callable[[Any], None]) -> None:
        (on_long if len(name) > 3 else on_short)(name)

    @property
    def length(self) -> int:
        return len(self.greeting)

    @functools.cached_property
    def upper(self) -> str:
        return self.greeting.upper()

    @staticmethod
    def double(text: str) -> str:
        return text * 2

    @classmethod
    def what(cls) -> str:
        return cls.kind

    def _hidden(self, name: str) -> str:
        return name


PUBLIC = ["greet", "now", "note", "spell", "halves", "check"]


def test_the_public_methods_of_an_object_are_its_operations() -> None:
    """B300, B302, B305: no properties, no dunders, nothing with an underscore, nothing of object's."""
    assert names(FlowOperationContainer().add_instance_operations(Greeter())) == PUBLIC


def test_the_public_static_and_class_methods_of_a_class_are_its_operations() -> None:
    """B301."""
    container = FlowOperationContainer().add_static_operations(Greeter)

    assert names(container) == ["double", "what"]
    assert [message.data for message in drive(only(container, "double"), "ab")] == ["abab"]
    assert [message.data for message in drive(only(container, "what"), None)] == ["greeter"]


def test_what_a_subclass_makes_something_else_is_no_operation_any_more() -> None:
    """B305."""

    class Base:
        def kept(self, data: Any) -> Any:
            return data

        def size(self) -> int:
            return 1

        def never(self, data: Any) -> Any:
            return data

    class Derived(Base):
        size = property(lambda _self: 2)
        never = None  # type: ignore[assignment]

    assert names(FlowOperationContainer().add_instance_operations(Derived())) == ["kept"]


def test_a_partial_method_is_a_method() -> None:
    class Scale:
        def times(self, factor: int, number: int, *, more: int = 0) -> int:
            return factor * number + more

        double = functools.partialmethod(times, 2)

    class Shift(Scale):
        times = None  # type: ignore[assignment]

        def _moved(self, by: int, number: int) -> int:
            return by + number

        up = functools.partialmethod(_moved, 10)
        double = None  # type: ignore[assignment]

    assert names(FlowOperationContainer().add_instance_operations(Shift())) == ["up"]
    container = FlowOperationContainer().add_instance_operations(Scale())
    assert names(container) == ["times", "double"]
    assert [message.data for message in drive(only(container, "double"), 4)] == [8]


def only(container: FlowOperationContainer, name: str) -> FlowOperationContainer:
    found = FlowOperationContainer()
    (found._declarations[name],) = (each for each in container if each.name == name)
    return found


@pytest.mark.parametrize(
    ("name", "data", "emitted"),
    [
        ("greet", "Ada", [("greet", "Hello, Ada")]),
        ("now", "Ada", [("now", "Hello")]),
        ("note", "Ada", []),
        ("spell", "Ada", [("spell", "A"), ("spell", "d"), ("spell", "a")]),
        ("halves", "Anna", [("halves", "An"), ("halves", "na")]),
        ("check", "Anna", [("check.on_long", "Anna")]),
        ("check", "Ada", [("check.on_short", "Ada")]),
    ],
)
def test_the_signature_of_a_method_says_what_it_emits(
    name: str, data: str, emitted: list[tuple[str, Any]]
) -> None:
    """B302, B303, B304: `-> None` without a continuation emits nothing, here as anywhere (B063); two continuations are ports."""
    container = FlowOperationContainer().add_instance_operations(Greeter())

    found = drive(only(container, name), data)

    assert [(message.port.fullname, message.data) for message in found] == emitted


def test_registered_methods_give_the_same_in_all_modes_and_schedules() -> None:
    """B300, B302, B303."""

    def flow() -> Flow:
        made = Flow().add_operations(FlowOperationContainer().add_instance_operations(Greeter("Hi")))
        for source, target in [
            (".in", "halves"),
            ("halves", "greet"),
            ("greet", "check"),
            ("check.on_long", ".out"),
            ("check.on_short", ".short"),
            (".in", "note"),
        ]:
            made.add_stream(source, target)
        return made

    assert_same_in_all_modes(flow, [(".in", "Anna"), (".in", "")])


class Marked:
    """Some of it is marked."""

    @operation
    def first(self, data: int) -> int:
        return data + 1

    @operation(name="second thing", mode=parallel(3, "pool", ordered=True))
    def second(self, data: int) -> int:
        return data * 2

    @operation(signal=True)
    def done(self, _data: int) -> None: ...

    @operation(mode="async")
    def _third(self, data: int) -> int:
        return data

    def unmarked(self, data: int) -> int:
        return data

    @staticmethod
    @operation(mode="async")
    def inner(data: int) -> int:
        return data

    @operation
    @classmethod
    def outer(cls, data: int) -> int:
        return data


def test_of_a_class_that_marks_methods_only_those_are_operations() -> None:
    """B300, B306: the marker also says the name and the mode."""
    container = FlowOperationContainer().add_instance_operations(Marked())

    assert modes(container) == {
        "first": "sync",
        "second thing": "parallel(3)",
        "done": "sync",
        "_third": "async",
    }
    assert container._declarations["second thing"].mode == Mode("parallel", 3, "pool", ordered=True)
    assert modes(FlowOperationContainer().add_static_operations(Marked)) == {
        "inner": "async",
        "outer": "sync",
    }


def test_a_signal_is_emitted_where_the_marker_asks_for_it() -> None:
    """B063, B304."""
    container = FlowOperationContainer().add_instance_operations(Marked())

    assert [message.data for message in drive(only(container, "done"), 1)] == [None]
    assert len(drive(FlowOperationContainer().add_action("x", Marked().done), 1)) == 1


def test_marking_has_no_effect_on_calling() -> None:
    def double(number: int) -> int:
        return number * 2

    assert operation(double) is double
    assert operation(mode="async")(double)(2) == 4
    assert Marked().first(1) == 2
    assert Marked.inner(1) == Marked.outer(1) == 1


@every_schedule
@pytest.mark.parametrize("how", ["function", "method"])
def test_the_mode_of_a_marker_says_on_which_thread_an_operation_runs(bench: Any, how: str) -> None:
    """B068, B306: for functions that are added one by one as for methods; and B180, B176: with a number of workers, in a named pool."""
    threads: list[str] = []

    class Worker:
        @operation(mode=parallel(2, "mine"))
        def work(self, data: Any) -> Any:
            threads.append(threading.current_thread().name)
            return data

    container = FlowOperationContainer()
    if how == "method":
        container.add_instance_operations(Worker())
    else:
        container.add_func("work", Worker().work)
    with bench.make_runtime() as runtime:
        runtime.add_operations(container)
        wire(runtime, ".in -> work -> .out")
        runtime.process(".in", 1).wait(SECONDS)

    (thread,) = threads
    assert thread.startswith(f"{runtime.name}/mine-")


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("sync", SYNC),
        ("async", Mode("async")),
        ("parallel", Mode("parallel", 4)),
        (parallel(), Mode("parallel", 4)),
        (parallel(2, by_key="port"), Mode("parallel", 2, by_key="port")),
    ],
)
def test_a_mode_may_be_said_in_these_ways(mode: Any, expected: Mode) -> None:
    """B180, B306."""
    container = FlowOperationContainer()
    marked = operation(mode=mode)(lambda data: data)
    container.add_func("func", marked).add_action("action", marked)
    container.add_generator("generator", operation(mode=mode)(lambda data: [data]))

    assert [declaration.mode for declaration in container] == [expected] * 3
    assert str(next(iter(container["func"].make_async())).mode) == "async"  # who uses it has the last word


def test_something_that_dispatches_is_a_mode() -> None:
    """B068, B272, B305."""

    class Dispatcher:
        def dispatch(self, call: Callable[[], None]) -> None:
            call()

    found = Dispatcher()
    container = FlowOperationContainer().add_func("f", operation(mode=found)(lambda data: data))

    assert next(iter(container)).mode == Mode(dispatcher=found)


@pytest.mark.parametrize(
    ("mark", "text"),
    [
        (lambda: operation(mode="asinc"), '"async"'),
        (lambda: operation(mode=MainThreadDispatcher), "mode got the class MainThreadDispatcher itself"),
        (
            lambda: in_port(mode=type("Loop", (), {"call_soon_threadsafe": print})()),
            "got Loop. Wrap the loop: AsyncioDispatcher(loop).",
        ),
        (lambda: operation(mode=4), "mode is of type int"),
        (lambda: operation("count"), "@operation marks functions and methods, not something of type str"),
        (lambda: operation(Greeter), "not the class Greeter"),
        (lambda: operation(name=5), "name is of type int"),  # type: ignore[call-overload]
        (lambda: operation(name="a.b"), '"a.b"'),
        (lambda: operation(len), "takes no attributes"),
        (lambda: parallel(0), "parallel(workers=0)"),
        (lambda: parallel(2, ordered=True, by_key="port"), "Choose one"),
        (lambda: parallel(2, by_key="key"), 'give "port"'),
    ],
)
def test_a_marker_that_cannot_be_is_refused_where_it_stands(mark: Callable[[], Any], text: str) -> None:
    with pytest.raises(FlowBuildError) as caught:
        mark()

    assert text in str(caught.value)


class Base:
    @operation(mode="async")
    def load(self, data: int) -> int:
        raise NotImplementedError

    def plain(self, data: int) -> int:
        return data


class Derived(Base):
    def load(self, data: int) -> int:
        return data + 10


def test_a_method_that_overrides_a_marked_one_is_marked_like_it() -> None:
    container = FlowOperationContainer().add_instance_operations(Derived())

    assert modes(container) == {"load": "async"}
    assert [message.data for message in drive(container, 1)] == [11]


class Thread(threading.Thread):
    @functools.cache  # noqa: B019 - a wrapper is what is tested
    def work(self, data: int) -> int:
        return data


def test_methods_inherited_from_users_classes_count_and_those_of_pythons_own_do_not() -> None:
    """B300."""

    class Child(Thread):
        def more(self, data: int) -> int:
            return data

    assert names(FlowOperationContainer().add_instance_operations(Child())) == ["work", "more"]


class Unsuited:
    def fine(self, data: int) -> int:
        return data

    async def later(self, data: int) -> int:
        return data

    def stuck(self, data: int, *, needed: int) -> int:
        return data + needed


def test_signatures_that_cannot_be_are_refused_together_and_nothing_is_added() -> None:
    """B302: the ancestor skipped them silently."""
    container = FlowOperationContainer().add_func("mine", str)

    with pytest.raises(FlowBuildError) as caught:
        container.add_instance_operations(Unsuited())

    first, second = caught.value.faults
    line = Unsuited.later.__code__.co_firstlineno
    assert first.startswith(f'Unsuited, "later" at {__file__}:{line}: operation "later" is an async def')
    assert second.startswith('Unsuited, "stuck" at ')
    assert names(container) == ["mine"]


def test_names_that_are_taken_are_refused_together_and_nothing_is_added() -> None:
    """B305: not when the runtime is built, but at once, with both places."""
    container = FlowOperationContainer().add_func("NOW", str).add_func("greet", str)

    with pytest.raises(FlowBuildError) as caught:
        container.add_instance_operations(Greeter())

    assert len(caught.value.faults) == 2
    assert f'there are two operations "greet": at {__file__}:' in caught.value.faults[0]
    assert names(container) == ["NOW", "greet"]


@pytest.mark.parametrize(
    ("add", "text"),
    [
        (lambda c: c.add_instance_operations(Greeter), "got the class Greeter"),
        (lambda c: c.add_instance_operations(types), "got the module types"),
        (lambda c: c.add_instance_operations(object()), "class object has no instance method"),
        (lambda c: c.add_static_operations(Greeter()), "got an object of type Greeter"),
        (lambda c: c.add_static_operations(Base), "class Base marks load with @operation, and no static"),
        (lambda c: c.add_module(Greeter), "got type"),
        (lambda c: c.add_module(types), 'module "types" has no operations'),
    ],
)
def test_what_has_no_operations_is_refused(add: Callable[[FlowOperationContainer], Any], text: str) -> None:
    with pytest.raises(FlowBuildError) as caught:
        add(FlowOperationContainer())

    assert text in str(caught.value)


def test_of_several_added_at_once_a_mode_asks_which_one_is_meant() -> None:
    container = FlowOperationContainer().add_instance_operations(Greeter())

    with pytest.raises(FlowBuildError, match="select one"):
        container.make_async()

    assert modes(container["greet"].make_async())["greet"] == "async"
    assert modes(FlowOperationContainer().add_instance_operations(Derived()).make_sync()) == {"load": "sync"}


def test_an_operation_is_selected_by_its_name_for_the_modes_that_follow() -> None:
    """B30B: the case does not matter, and an unknown name says which there are."""
    container = FlowOperationContainer().add_func("First", str).add_func("second", str)
    container[" first "].make_async()["SECOND"].make_parallel(2)

    assert modes(container) == {"First": "async", "second": "parallel(2)"}
    with pytest.raises(
        FlowBuildError,
        match=r'no operation "frist" to select. Did you mean "First"\? There are: First, second',
    ):
        container["frist"]
    with pytest.raises(FlowBuildError, match=r"make_async\(\) has no operation to apply to"):
        FlowOperationContainer().make_async()


# --- modules


def module_of(source: str, name: str = "made", **given: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(given)
    exec(compile(source, f"{name}.py", "exec"), vars(module))
    return module


SOURCE = """
import abc, functools
from flowrt import operation, parallel

@operation
def double(x): return 2 * x

again = double

@operation(name="tripled", mode="async")
def triple(x): return 3 * x

add_one = operation(functools.partial(lambda by, x: x + by, 1))

def unmarked(x): return x

class Counter:
    def __init__(self): self.calls = 0

    @operation
    def count(self, x):
        self.calls += 1
        return self.calls

    @operation
    @staticmethod
    def negate(x): return -x

    def unmarked_method(self, x): return x

class Abstract(abc.ABC):
    @operation
    def load(self, x): return x

    @abc.abstractmethod
    def go(self): ...

class Plain:
    def method(self, x): return x
"""


def test_a_module_gives_what_it_marks_functions_and_methods() -> None:
    """B308: of the classes in it an instance is made without arguments."""
    container = FlowOperationContainer().add_module(module_of(SOURCE))

    assert modes(container) == {
        "double": "sync",
        "tripled": "async",
        "add_one": "sync",
        "negate": "sync",
        "count": "sync",
    }
    assert [message.data for message in drive(only(container, "add_one"), 4)] == [5]
    assert [message.data for message in drive(only(container, "count"), 4, 4)] == [1, 2]


def test_what_a_module_only_imports_is_added_where_it_was_written() -> None:
    """B308."""
    other = module_of(SOURCE, "other")
    importing = module_of("", "importing", double=other.double, Counter=other.Counter)
    package = module_of("", "package", triple=module_of(SOURCE, "package.inside").triple)

    with pytest.raises(FlowBuildError, match="What it imports is added where it was written: other"):
        FlowOperationContainer().add_module(importing)
    assert names(FlowOperationContainer().add_module(package)) == ["tripled"]


def test_objects_of_a_module_that_make_attributes_up_are_left_alone() -> None:
    class Proxy:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

        def __call__(self) -> None: ...

    module = module_of(SOURCE, proxy=Proxy())

    assert "proxy" not in FlowOperationContainer().add_module(module)


def test_a_class_that_cannot_be_made_without_arguments_is_refused_by_name() -> None:
    source = "from flowrt import operation\nclass Needy:\n    def __init__(self, x): ...\n    @operation\n    def f(self, x): ..."

    with pytest.raises(FlowBuildError) as caught:
        FlowOperationContainer().add_module(module_of(source))

    assert (
        "class Needy of module made has operations, and could not be made without arguments (TypeError"
        in str(caught.value)
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_an_error_in_a_method_arrives_as_it_was_raised(schedule: Any) -> None:
    """B307."""

    class Faulty:
        def fail(self, data: Any) -> Any:
            raise KeyError(data)

    container = FlowOperationContainer().add_instance_operations(Faulty())
    with FlowRuntime(schedule=schedule) as runtime:
        runtime.add_operations(container)
        wire(runtime, ".in -> fail -> .out")
        with pytest.raises(OperationError) as caught:
            runtime.process(".in", 1).wait(SECONDS)

    cause = caught.value.__cause__
    assert isinstance(cause, KeyError)
    assert cause.__traceback__ is not None
    assert cause.__traceback__.tb_frame.f_code is Faulty.fail.__code__
    assert f"declared at {__file__}:{Faulty.fail.__code__.co_firstlineno}" in str(caught.value)


class Shared(abc.ABC):  # noqa: B024
    """Holds what its operations share: a plain object does (B30C)."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    @operation
    def load(self, text: str) -> int:
        self.rows = text.split()
        return len(self.rows)

    @operation
    def row(self, number: int) -> str:
        return self.rows[number]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_operations_share_data_through_their_object(schedule: Any) -> None:
    """B30C."""
    with FlowRuntime(schedule=schedule) as runtime:
        shared = Shared()
        runtime.add_operations(FlowOperationContainer().add_instance_operations(shared))
        wire(runtime, ".load -> load -> .loaded", ".row -> row -> .out")
        assert runtime.process(".load", "a b c").result(SECONDS).data == 3
        assert runtime.process(".row", 1).result(SECONDS).data == "b"
        assert shared.rows == ["a", "b", "c"]  # whoever holds the object sees it too
        shared.rows = ["x", "y"]
        assert runtime.process(".row", 1).result(SECONDS).data == "y"
