"""Schedules of one's own: is one what it should be, and who is at fault if it is not.

See `flowrt.schedules.Schedule` for the contract, `flowrt.testing.check_schedule` for a check of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flowrt.errors import FlowBuildError, FlowInternalError, counted, describe, did_you_mean
from flowrt.messages import Chunk
from flowrt.schedules import SCHEDULES, Schedule, schedule_named

METHODS = ("put", "put_input", "put_back", "take", "clear", "__iter__")


class OwnSchedule:
    """Stands before a schedule of the user's. It counts what waits there, so that nothing is lost without a word.

    Raises: `FlowInternalError`, naming the schedule, where that raises or gives back something else than it was given; the engine stops.
    """

    def __init__(self, own: Schedule) -> None:
        self.step = own.step
        self._own = own
        self._waiting = 0  # messages

    def put(self, chunk: Chunk) -> None:
        self._waiting += len(chunk.data)
        self._call("put", chunk)

    def put_input(self, chunk: Chunk) -> None:
        self._waiting += len(chunk.data)
        self._call("put_input", chunk)

    def put_back(self, chunk: Chunk) -> None:
        self._waiting += len(chunk.data)
        self._call("put_back", chunk)

    def take(self) -> Chunk | None:
        chunk: Chunk | None = self._call("take")
        if chunk is None:
            if self._waiting:
                raise self._broken(
                    f"take() gave nothing though {counted(self._waiting, 'message')} must be waiting there"
                )
            return None
        if type(chunk) is not Chunk:
            raise self._broken(f"take() gave a {type(chunk).__qualname__}, not a chunk or None")
        self._waiting -= len(chunk.data)
        if self._waiting < 0 or not chunk.data:
            raise self._broken("take() gave what had been taken before, or was never put there")
        return chunk

    def __iter__(self) -> Iterator[Chunk]:
        try:
            yield from self._own
        except (
            RuntimeError
        ):  # it changes under the hands of whoever looks from another thread, and looks again
            raise
        except Exception as error:
            raise self._broken(f"__iter__() raised {type(error).__qualname__}") from error

    def clear(self, unwanted: Callable[[Chunk], bool]) -> None:
        self._call("clear", unwanted)
        self._waiting = sum(len(chunk.data) for chunk in self._own)

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            return getattr(self._own, name)(*arguments)
        except Exception as error:
            raise self._broken(f"{name}() raised {type(error).__qualname__}") from error

    def _broken(self, what: str) -> FlowInternalError:
        return FlowInternalError(
            f'the schedule "{type(self._own).__qualname__}" breaks its contract: {what}. The runtime was stopped, and nothing it still held was '
            "worked on. flowrt.testing.check_schedule shows what is wrong with it."
        )


def schedule_of(given: str | Callable[[], Schedule]) -> Schedule:
    """Make the schedule of a runtime, given its name or what makes one; `FlowBuildError` if it is none."""
    if isinstance(given, str):
        return schedule_named(given)
    if not callable(given):
        remedy = "Give a name, or the class or function that makes one."
        if hasattr(given, "take"):
            remedy = (
                "One schedule serves one runtime, so give what makes a new one: its class, or a function."
            )
        raise FlowBuildError(
            f"schedule is a {type(given).__qualname__}. {remedy}{did_you_mean('', SCHEDULES)}"
        )
    try:
        made: Any = given()
    except Exception as error:
        raise FlowBuildError(
            f"the schedule could not be made: {_named(given)}() raised {describe(error)}."
        ) from error
    _check(made, _named(given))
    return made if given in SCHEDULES.values() else OwnSchedule(made)


def _named(given: Any) -> str:
    return getattr(given, "__qualname__", type(given).__qualname__)


def _check(made: Any, maker: str) -> None:
    what = f"what {maker}() makes as a schedule ({type(made).__qualname__})"
    lacking = [name for name in METHODS if not callable(getattr(made, name, None))]
    if not hasattr(made, "step"):
        lacking.append("step")
    if lacking:
        raise FlowBuildError(f"{what} lacks {', '.join(lacking)} of the contract flowrt.schedules.Schedule.")
    if type(made.step) is not int or made.step < 1:
        raise FlowBuildError(
            f"{what} has step={made.step!r}; it says how many messages of a chunk are taken at once: 1, or more."
        )
    try:
        holds_some = next(iter(made), None) is not None
    except Exception as error:
        raise FlowBuildError(
            f"{what} cannot be looked at: __iter__() raised {describe(error)}. Have it iterate over all that waits, nothing at first."
        ) from error
    if holds_some:
        raise FlowBuildError(
            f"{what} holds messages already: it was given to another runtime. Make a new one in every call."
        )
