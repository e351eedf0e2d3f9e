"""Where live messages are: by place, by the window they count in, by the list or run they belong to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from attrs import field, frozen

from flowrt.contract import PullTask, Task
from flowrt.observe.explain import LISTS, Share

if TYPE_CHECKING:
    from flowrt.engine import Engine
    from flowrt.messages import Chunk, Context
    from flowrt.scopes import RunBooks, Scope, Window

RESULTS = "the result ports"


@frozen
class Whereabouts:
    """Where live messages are."""

    backlog: Counter[str] = field(factory=Counter)
    in_work: Counter[str] = field(factory=Counter)
    oldest: dict[str, RunBooks] = field(factory=dict)
    windows: dict[Window, Counter[str]] = field(factory=dict)
    scopes: dict[Scope, Counter[str]] = field(factory=dict)

    def add(self, name: str, counter: Counter[str], context: Context, messages: int) -> None:
        """Count messages of one context at a place, also in everything around them."""
        counter[name] += messages
        scope: Scope | None = context.scope
        run = context.scope.run
        if name not in self.oldest or run.opened < self.oldest[name].opened:
            self.oldest[name] = run
        if scope is not None and scope.window is not None:
            self.windows.setdefault(scope.window, Counter())[name] += messages
        while scope is not None and (scope.parent is not None or run.holding):
            self.scopes.setdefault(scope, Counter())[name] += messages
            scope = scope.parent


def tasks_of(engine: Engine) -> Iterator[Task | PullTask]:
    """Iterate over what workers are performing."""
    for executor in engine.routes.all_executors():
        doing: Callable[[], list[Task | PullTask]] = getattr(executor, "doing", executor.in_work)
        yield from doing()


def look_around(engine: Engine, tasks: Iterable[Task | PullTask]) -> Whereabouts:
    """Look at everything that waits or is in work."""
    where = Whereabouts()
    in_work = {id(task.chunk) for task in tasks if isinstance(task, Task)}
    for chunk in engine.schedule:
        place = chunk.handler.place
        _add(where, place.name if place is not None else RESULTS, where.backlog, chunk, 0)
    for executor in engine.routes.all_executors():
        for name, chunk, first in executor.unreported():
            _add(where, name, where.in_work if id(chunk) in in_work else where.backlog, chunk, first)
    for place in engine.routes.all_places():
        if place.guard is not None:
            for chunk in place.guard.unreported():
                _add(where, place.name, where.backlog, chunk, 0)
    for source in engine.sources:
        where.add(source.place.name, Counter(), source.input, 1)
    return where


def _add(where: Whereabouts, name: str, counter: Counter[str], chunk: Chunk, first: int) -> None:
    contexts = chunk.context
    if isinstance(contexts, list):
        for context in contexts[first:]:
            where.add(name, counter, context, 1)
    elif len(chunk.data) > first:
        where.add(name, counter, contexts, len(chunk.data) - first)


def shares(counter: Counter[str]) -> tuple[Share, ...]:
    """Turn a count into rows, most first."""
    return tuple(Share(name, messages) for name, messages in counter.most_common())


def open_lists(engine: Engine) -> Counter[Window]:
    """Count the lists that take the place of one message each in the window around them."""
    found: Counter[Window] = Counter()
    for run in list(engine.books.runs):
        for scope in list(run.open_scopes):
            if scope.active and scope.parent is not None and scope.parent.window is not None:
                found[scope.parent.window] += 1
    return found


def filling(window: Window, where: Whereabouts, lists: Counter[Window]) -> tuple[Share, ...]:
    """Say what is live in a window."""
    inside = Counter({LISTS: lists[window]} if lists[window] else {})
    return shares(where.windows.get(window, Counter()) + inside)
