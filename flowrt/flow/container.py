"""`FlowOperationContainer`: operations with their modes, as declarations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from types import ModuleType
from typing import Any, Self

from attrs import evolve

from flowrt import standard
from flowrt.errors import FlowBuildError, check_count, check_seconds, counted
from flowrt.operations import policies, registration
from flowrt.operations.bodies import OperationBody
from flowrt.operations.declarations import Declaration, check_contract, declared_at, made_by, same_name
from flowrt.operations.marks import MODES_BY_NAME, AnyMode, mode_of
from flowrt.operations.modes import (
    DEFAULT_WORKERS,
    SYNC,
    InMode,
    Mode,
    checked_dispatcher,
    parallel_mode,
    pool_name,
)
from flowrt.operations.policies import ERROR_PORT, LONGEST_BACKOFF, MAX_BUDGETS, Backoff, OnError, RetryOn
from flowrt.ports import check_name, codes_of, did_you_mean, folded
from flowrt.standard.keeping import MAX_IDS, MAX_WAITING, JoinedBy

Function = Callable[..., Any] | InMode


class FlowOperationContainer:
    """Operations and where they run. Every method returns the container.

    A mode applies to the operation added last, or selected: `container["count_words"].make_parallel(4)`. Names ignore case. One
    container may serve several flows and runtimes; each takes the declarations as they are when they are added to it.
    """

    def __init__(self) -> None:
        self._declarations: dict[str, Declaration] = {}
        self._last: list[str | None] = [None]  # the key of the one that a mode applies to
        self._entry: str | None = None

    def __repr__(self) -> str:
        return f"<operations: {', '.join(f'{each.name} ({each.mode})' for each in self) or 'none'}>"

    def __iter__(self) -> Iterator[Declaration]:
        return iter(self._declarations.values())

    def __len__(self) -> int:
        return len(self._declarations)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and folded(name.strip()) in self._declarations

    def __getitem__(self, name: str) -> Self:
        """Select an operation for the modes that follow, and for `Flow.add_chain`; `FlowBuildError` if there is none of that name.

        What is returned is the same container, which remembers besides which of its entries it was asked for.
        """
        if name not in self:
            known = [declaration.name for declaration in self]
            raise FlowBuildError(f'there is no operation "{name}" to select.{did_you_mean(str(name), known)}')
        found = copy(self)
        found._entry = self._selected = folded(name.strip())
        return found

    def entry(self) -> Declaration:
        """Return the operation this was asked for, as in `container["count_words"]`, or its only one; else `FlowBuildError`."""
        if self._entry is not None:
            return self._declarations[self._entry]
        if len(self) == 1:
            return next(iter(self))
        raise FlowBuildError(
            f'a container of {counted(len(self), "operation")} stands where one operation is meant. Say which: container["name"].'
        )

    @property
    def _selected(self) -> str | None:
        return self._last[0]

    @_selected.setter
    def _selected(self, key: str | None) -> None:
        self._last[0] = key

    # -- adding

    def add_func(self, name: Function | str, f: Function | AnyMode = None, mode: AnyMode = None) -> Self:
        """Add a function of the data, or of nothing; its return value leaves on the default port (also None, also a list).

        Args:
            name: of the operation. Left out, it is the function's own: `add_func(count_words)`, `add_func(count_words, parallel(4))`.
            f: the function.
            mode: where it runs: what `parallel(...)` returns, "sync", "async", "parallel", or something with `dispatch(callable)`.

        Raises:
            FlowBuildError: it cannot be called, or not with the data alone; there is an operation of this name; a lambda has no name.
        """
        name, function, mode = _told_apart("add_func", name, f, mode)
        return self._add(registration.declare("function", name, function, declared_at()), mode)

    def add_action(
        self,
        name: Function | str,
        f: Function | AnyMode = None,
        mode: AnyMode = None,
        *,
        signal: bool = False,
    ) -> Self:
        """Add an action: its return value is ignored; it emits by calling its continuations.

        The first parameter is the data, further positional ones without a default are continuations. They may be called any
        number of times, from any thread, until the call returns; a later call starts a run of its own. One continuation emits
        on the default port, several on ports named after the parameters.

        Args:
            name: of the operation; left out, as for `add_func`.
            f: the action.
            mode: as for `add_func`.
            signal: without continuations, emit None when done.
        """
        name, function, mode = _told_apart("add_action", name, f, mode)
        return self._add(registration.declare("action", name, function, declared_at(), signal=signal), mode)

    def add_generator(
        self,
        name: Function | str,
        f: Function | AnyMode = None,
        mode: AnyMode = None,
        *,
        window: int = registration.WINDOW,
    ) -> Self:
        """Add a generator function: each yielded item is a message of its own, `Emit(port, item)` on a port of its own.

        Args:
            name: of the operation; left out, as for `add_func`.
            f: returns a generator, or any iterable, per input.
            mode: as for `add_func`.
            window: how many live descendants all its open generators may have together (messages); they are pulled as there is room.
        """
        name, function, mode = _told_apart("add_generator", name, f, mode)
        window = check_count(f'generator "{name}"', "window", window)
        return self._add(
            registration.declare("generator", name, function, declared_at(), window=window), mode
        )

    def add_operation(self, operation: Any, factory: Callable[[], Any] | None = None) -> Self:
        """Add whatever fulfils the `Operation` contract, or a name and a factory that makes one instance per place.

        Raises:
            FlowBuildError: what the contract asks for is missing, or two operations have one name.
        """
        if factory is None:
            check_contract(operation, "the operation")
            name = operation.name
        else:
            name, operation = operation, made_by(operation, factory)
        body, ports = OperationBody(), (operation.in_ports, operation.out_ports)
        return self._add(Declaration(name, body, *ports, declared_at(), operation=operation, factory=factory))

    def add_instance_operations(self, instance: Any) -> Self:
        """Add the methods of an object that `@operation` marks; if none is marked, every public method.

        Public are the methods of its class, and of the classes it inherits from that are not Python's own, whose names do not begin with an
        underscore; no properties, static or class methods. The signature says what a method is: more than one parameter without a default, an
        action with continuations; `-> None`, an action; a generator; else a function. The name of the operation is the method's.

        Raises:
            FlowBuildError: signatures that cannot be operations, or names that are taken: all of them at once, and nothing was added.
        """
        return self._add_all(registration.instance_operations(instance))

    def add_static_operations(self, owner: type) -> Self:
        """Add the static and class methods of a class, as `add_instance_operations` adds the others."""
        return self._add_all(registration.static_operations(owner))

    def add_module(self, module: ModuleType) -> Self:
        """Add what `@operation` marks in a module: functions, and methods of classes, for which an instance is made without arguments.

        Classes with ports are added as components, under their own name.

        Only what was written there, not what it imports; of a package, what was written in one of its modules too.

        Raises:
            FlowBuildError: as for `add_instance_operations`; nothing is marked; an instance cannot be made.
        """
        return self._add_all(registration.module_operations(module))

    def add_component(self, name: str, component: Any) -> Self:
        """Add an object whose methods marked `@in_port` are in-ports, and whose attributes declared `out_port()` are out-ports.

        A mode applies to all its methods together, but for those whose marker says one; a policy to each. What the component keeps is its own:
        methods on several threads at once are its own business.

        Args:
            name: of the operation.
            component: an object, which may be part of one runtime at a time; or its class (`functools.partial` gives it arguments), of which an
                instance is made per place.

        Raises:
            FlowBuildError: it has no ports, or methods that cannot be in-ports.
        """
        return self._add(registration.declare_component(name, component, declared_at()))

    def _add_all(self, declarations: list[Declaration]) -> Self:
        faults = []
        taken = dict(self._declarations)
        for declaration in declarations:
            earlier = taken.setdefault(folded(declaration.name), declaration)
            if earlier is not declaration:
                faults.append(same_name(earlier, declaration))
        if faults:
            raise FlowBuildError(*faults)
        self._declarations.update(taken)
        # A mode that follows several at once would be meant for all, or for the last: so it is asked which.
        self._selected = folded(declarations[0].name) if len(declarations) == 1 else None
        return self

    def add_auto_reset_join(
        self,
        name: str,
        inputs: int = 2,
        by: JoinedBy = "correlation",
        *,
        expire: float | None = None,
        max_open: int = MAX_IDS,
        max_waiting: int = MAX_WAITING,
    ) -> Self:
        """Add an `AutoResetJoin`: the oldest messages of `.in0`, `.in1`, … leave as a tuple as soon as every port has one."""
        return self.add_operation(
            standard.AutoResetJoin(
                name, inputs, by, expire=expire, max_open=max_open, max_waiting=max_waiting
            )
        )

    def add_manual_reset_join(
        self,
        name: str,
        inputs: int = 2,
        by: JoinedBy = "correlation",
        *,
        expire: float | None = None,
        max_open: int = MAX_IDS,
        max_waiting: int = MAX_WAITING,
    ) -> Self:
        """Add a `ManualResetJoin`: once every port has had a message, each leaves in a tuple with the latest of the others; until `.reset`."""
        return self.add_operation(
            standard.ManualResetJoin(
                name, inputs, by, expire=expire, max_open=max_open, max_waiting=max_waiting
            )
        )

    def _add(self, declaration: Declaration, mode: Mode | None = None) -> Self:
        name = check_name(declaration.name)
        key = folded(name)
        earlier = self._declarations.get(key)
        if earlier is not None:
            raise FlowBuildError(same_name(earlier, declaration))
        self._declarations[key] = declaration if name == declaration.name else evolve(declaration, name=name)
        self._selected = key
        return self if mode is None else self.make(mode)

    # -- modes

    def make_sync(self, dispatcher: Any = None) -> Self:
        """Run it on the engine's thread, one call at a time. This is where operations run unless told otherwise.

        Args:
            dispatcher: have its calls made on a thread that is not flowrt's, one at a time and in order, while the engine goes on: any object with
                `dispatch(callable)`, which may be called on any thread, returns at once and has the callable called once, later (see
                `flowrt.executors.dispatchers`). Also with `parallelism=False`.
        """
        if dispatcher is None:
            return self.make(SYNC)
        where = f'operation "{self._selected_declaration("make_sync").name}": make_sync(dispatcher)'
        return self.make(Mode(dispatcher=checked_dispatcher(where, dispatcher)))

    def make_async(self, pool: str | None = None) -> Self:
        """Run it on a thread of its own, one call at a time, in order of arrival.

        Args:
            pool: operations that name the same pool share its thread.
        """
        return self.make(Mode("async", 1, pool_name(pool)))

    def make_parallel(
        self,
        workers: int = DEFAULT_WORKERS,
        pool: str | None = None,
        *,
        ordered: bool = False,
        by_key: str | Callable[[Any], Any] | None = None,
    ) -> Self:
        """Run it on several threads; results leave in order of completion.

        Args:
            workers: how many threads.
            pool: operations that name the same pool, with the same number, share its threads.
            ordered: restore the order of arrival.
            by_key: keep the order, and one call at a time, per key: "port" for the in-port, or a function of the data (called on the
                engine's thread).

        Raises:
            FlowBuildError: a number below 1, an operation that keeps state, or `ordered` and `by_key` together.
        """
        owner = f'operation "{self._selected_declaration("make_parallel").name}": make_parallel'
        return self.make(parallel_mode(owner, workers, pool, ordered=ordered, by_key=by_key))

    # -- policies

    def retry(
        self,
        attempts: int,
        backoff: Backoff = 0.1,
        *,
        on: RetryOn = Exception,
        longest: float = LONGEST_BACKOFF,
    ) -> Self:
        """Call again after a failure; a message fails only with its last attempt.

        Waiting takes no thread. Where the mode keeps order, what comes behind the message waits for it (`ordered=True`: its results do; by key:
        what has its key does). What an attempt emits leaves when it succeeds. A generator is called again only before its first item.

        Args:
            attempts: calls at most, the first included.
            backoff: seconds; before the n-th retry it waits from 0 to backoff * 2 ** (n - 1), drawn evenly; or a function `f(n)` or
                `f(n, error)` that returns the seconds (the error where its second parameter has no default, or is named "error"). It
                is asked on the engine's thread.
            on: which exceptions: a type, several, or a function that is given the error and says whether to call again (on the engine's
                thread). A call that was given up for its time counts as an `OperationTimeoutError`; a function sees it as a `TimeoutError`.
            longest: seconds it waits at most.
        """
        where = self._named("retry")
        return self._with("retry", retry=policies.retry_of(where, attempts, backoff, longest, on))

    def timeout(self, seconds: float) -> Self:
        """Give a call up that has not returned after so many seconds: `OperationTimeoutError`.

        The time runs from when the call begins, not while its message waits. A thread cannot be killed: it is left alone and replaced by a
        new one, and what it still brings is dropped. On the engine's own thread that is impossible, so the operation must be async or
        parallel; where it runs there all the same (`parallelism=False`), there is no limit.
        """
        return self._with("timeout", timeout=check_seconds(self._named("timeout"), "seconds", seconds))

    def on_error(self, decision: OnError) -> Self:
        """Say what becomes of a message that fails.

        Args:
            decision: "fail", the default: the error goes to whoever is to know. "skip": the message ends as discarded, with the error as its
                reason in the ledger, and nobody is told; a gather misses it. "route": the `OperationError` leaves on the port
                `<operation>.error`, in the context of the message; if no stream starts there it is as with "fail".
        """
        return self._with("on_error", on_error=policies.on_error_of(self._named("on_error"), decision))

    def rate(
        self,
        per_second: float,
        burst: int = 1,
        *,
        per: Callable[[Any], Any] | None = None,
        max_keys: int = MAX_BUDGETS,
    ) -> Self:
        """Begin so many calls per second at most, retries included, and up to `burst` of them at once.

        Args:
            per_second: calls; 0.5 is one in two seconds.
            burst: calls that may begin at once after a pause.
            per: a function of the data that returns a key (asked on the engine's thread): each key has a budget of its own. Messages of other
                keys overtake one that waits, unless the mode keeps the order of all.
            max_keys: so many keys may have a budget that is not full; while so many have, a message of a further key waits.
        """
        where = self._named("rate")
        return self._with("rate", rate=policies.rate_of(where, per_second, burst, per, max_keys))

    def ignore(self, *codes: str) -> Self:
        """Have `check` not report these findings about it, by their codes: `.ignore("F201")`."""
        declaration = self._selected_declaration("ignore")
        return self._change(declaration, ignore=tuple(dict.fromkeys((*declaration.ignore, *codes_of(codes)))))

    def _named(self, verb: str) -> str:
        return f'operation "{self._selected_declaration(verb).name}": {verb}()'

    def _with(self, verb: str, **policy: Any) -> Self:
        declaration = self._selected_declaration(verb)
        if declaration.extras.handle_many is not None:
            raise FlowBuildError(
                f'operation "{declaration.name}" ({type(declaration.operation).__name__}) works with the engine\'s own books, one list at a time; '
                f"{verb}() is for functions, actions, generators and operations that take messages one by one."
            )
        changed, ports = evolve(declaration.policies, **policy), declaration.out_ports
        if changed.on_error == "route" and ports is not None:
            ports = (*(port for port in ports if folded(port) != ERROR_PORT), ERROR_PORT)
        return self._change(declaration, policies=changed, out_ports=ports)

    def _change(self, declaration: Declaration, **changes: Any) -> Self:
        self._declarations[folded(declaration.name)] = evolve(declaration, **changes)
        return self

    def _selected_declaration(self, verb: str) -> Declaration:
        if self._selected is None:
            remedy = f"Add one first, or select one: container[name].{verb}()."
            raise FlowBuildError(f"{verb}() has no operation to apply to. {remedy}")
        return self._declarations[self._selected]

    def make(self, mode: Mode) -> Self:
        """Run it where a mode says, such as `parallel(4)`; `FlowBuildError` if it cannot run there."""
        declaration = self._selected_declaration(f"make_{mode.kind}")
        operation, why = declaration.operation, ""
        elsewhere = mode.kind == "async" or mode.dispatcher is not None
        if mode.kind == "parallel" and operation is not None:
            why = "keeps state, so only one thread at a time may enter it; make_parallel is for functions, actions and generators"
        elif elsewhere and declaration.extras.handle_many is not None:
            why = "works with the engine's own books and runs on its thread"
        elif elsewhere and declaration.extras.timer is not None:
            why = "has a timer, which the engine calls on its own thread"
        if why:
            around = "async or dispatched" if elsewhere else "parallel"
            says = f'operation "{declaration.name}" ({type(operation).__name__}) {why}. Leave it sync and make the operations around it {around}.'
            raise FlowBuildError(says)
        return self._change(declaration, mode=mode)


def _is_function(f: Any) -> bool:
    """Say whether what stands where a function or a mode may stand is a function: modes are texts, of their own type, or dispatch."""
    return callable(f) and not hasattr(type(f), "dispatch")


def _told_apart(verb: str, name: Any, f: Any, mode: Any) -> tuple[str, Any, Mode | None]:
    """Tell name, function and mode apart, where the name may be left out."""
    if name is None or (callable(name) and type(name) is not InMode and _is_function(f)):
        check_name(name)
    if callable(name) or type(name) is InMode:
        if type(f) is str and mode is None and f not in MODES_BY_NAME and callable(name):
            raise FlowBuildError(f'the name comes first: {verb}("{f}", f).')
        if f is not None and mode is not None:
            raise FlowBuildError(f'{verb} takes one function: {verb}("name", f, mode), or {verb}(f, mode).')
        name, f, mode = None, name, (mode if f is None else f)
    if type(f) is InMode:
        if mode is not None:
            raise FlowBuildError(
                f"{verb}: the mode is given twice, with the function and beside it. Say it once."
            )
        f, mode = f.operation, f.mode
    name = registration.name_of(f) if name is None else name
    return name, f, mode_of(f'operation "{name}"', mode)
