"""Whether a value of one type can be one of another: `may_fit` says no only where that is certain."""

from __future__ import annotations

import types
import typing
from collections import OrderedDict, abc, defaultdict, deque
from typing import Any

TYPES_DEEP = 6  # types inside types that are looked at; arbitrary
PROMOTED: dict[type, tuple[type, ...]] = {
    int: (float, complex),
    float: (int, complex),
    complex: (int, float),
    bool: (float, complex),
}
BYTES = (bytes, bytearray, memoryview)
TEXTS = (str, bytes, bytearray)
FILES = (typing.IO, typing.TextIO, typing.BinaryIO)  # those of io count as these, without inheriting
ABSTRACT = ("collections.abc", "numbers", "os", "io")  # modules of which the classes with a metaclass are
GOING = (abc.Iterable, abc.Iterator, abc.Generator, abc.Reversible, abc.Collection, abc.Container)
SEQUENCES = (list, deque, abc.Sequence, abc.MutableSequence)
ITERABLES = (*GOING, *SEQUENCES, set, frozenset, abc.Set, abc.MutableSet)  # of one argument: their items
MAPPINGS = (dict, OrderedDict, defaultdict, abc.Mapping, abc.MutableMapping)


def may_fit(value: Any, wanted: Any, depth: int = 0) -> bool:
    """Say whether a value of type `value` can be of type `wanted`. What is not understood fits."""
    if depth > TYPES_DEEP:
        return True
    values, wants = members(value), members(wanted)
    return any(_one_fits(v, w, depth) for v in values for w in wants)


def members(found: Any) -> tuple[Any, ...]:
    """Return the types that a union consists of, in the forms that are compared: classes, generics, `Literal`s and `Any`."""
    plain = _plain(found)
    if typing.get_origin(plain) in (typing.Union, types.UnionType):
        return tuple(member for each in typing.get_args(plain) for member in members(each))
    return (plain,)


def is_any(found: Any) -> bool:
    """Say whether nothing is known of a type."""
    return any(member is Any for member in members(found))


def class_of(found: Any) -> type | None:
    """Return the class of a type that is neither `Any` nor a union, if it has one."""
    origin = typing.get_origin(found)
    if origin is typing.Literal:
        return None
    kind = origin if origin is not None else found
    return kind if isinstance(kind, type) else None


def items_of(found: Any) -> Any:
    """Return the type of what iterating over a type gives; `Any` if that is not known."""
    kinds: list[Any] = []
    for member in members(found):
        kind, arguments = class_of(member), typing.get_args(member)
        if kind is str:
            kinds.append(str)
        elif kind in BYTES:
            kinds.append(int)
        elif kind is tuple and any(map(_is_unpacked, arguments)):
            return Any
        elif kind is tuple and arguments:
            kinds += [each for each in arguments if each is not Ellipsis]
        elif arguments and (kind in ITERABLES or kind in MAPPINGS):
            kinds.append(arguments[0])
        else:
            return Any
    return union(kinds)


def union(kinds: list[Any]) -> Any:
    """Return the union of types; `Any` of none."""
    unique = list(dict.fromkeys(kinds))
    if not unique or any(is_any(kind) for kind in unique):
        return Any
    return unique[0] if len(unique) == 1 else typing.Union[tuple(unique)]  # noqa: UP007 - made of what is found


def type_text(found: Any) -> str:
    """Write a type as its author would."""
    if found is Any:
        return "Any"
    if found is None or found is type(None):
        return "None"
    origin, arguments = typing.get_origin(found), typing.get_args(found)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_text(each) for each in arguments)
    if origin is typing.Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin is None:
        return found.__qualname__.rpartition("<locals>.")[2] if isinstance(found, type) else str(found)
    name = getattr(origin, "__name__", str(origin))
    inner = ", ".join("..." if each is Ellipsis else _argument_text(each) for each in arguments)
    return f"{name}[{inner}]" if inner else name


def _argument_text(found: Any) -> str:
    return f"[{', '.join(map(type_text, found))}]" if isinstance(found, list) else type_text(found)


def _plain(found: Any) -> Any:
    for _ in range(TYPES_DEEP):
        if found is None:
            return type(None)
        if found is object or isinstance(found, str | typing.ForwardRef | typing.TypeVar):
            return Any
        origin = typing.get_origin(found)
        if origin is typing.Annotated or origin in (typing.Final, typing.ClassVar):
            found = typing.get_args(found)[0]
        elif isinstance(found, typing.NewType):
            found = found.__supertype__
        elif origin is type:
            return type
        else:
            break
    if typing.is_typeddict(found):
        return dict
    if typing.get_origin(found) is None and not isinstance(found, type | types.UnionType):
        return str if found is typing.LiteralString else Any
    return found


def _one_fits(value: Any, wanted: Any, depth: int) -> bool:
    if value is Any or wanted is Any:
        return True
    if typing.get_origin(value) is typing.Literal:
        if typing.get_origin(wanted) is typing.Literal:
            own = [(type(each), each) for each in typing.get_args(wanted)]
            return any((type(each), each) in own for each in typing.get_args(value))
        return any(_one_fits(type(each), wanted, depth) for each in typing.get_args(value))
    if typing.get_origin(wanted) is typing.Literal:
        return any(_one_fits(value, type(each), depth) for each in typing.get_args(wanted))
    kind, needed = class_of(value), class_of(wanted)
    if kind is None or needed is None:
        return True
    if not _meet(kind, needed):
        return False
    return _arguments_fit(kind, typing.get_args(value), needed, typing.get_args(wanted), depth + 1)


def _meet(kind: type, needed: type) -> bool:
    """Say whether something can be of both classes: one is the other's, as far as can be told without asking code of the user."""
    if needed in kind.__mro__ or kind in needed.__mro__ or needed in PROMOTED.get(kind, ()):
        return True
    if kind in BYTES and needed in BYTES:
        return True
    if kind in FILES or needed in FILES:
        return "builtins" not in (kind.__module__, needed.__module__)
    if _is_protocol(kind) or _is_protocol(needed):
        return True
    for one, other in ((kind, needed), (needed, kind)):
        try:
            if _is_abstract(other) and (other.__module__ not in (*ABSTRACT, "abc") or issubclass(one, other)):
                return True
        except TypeError:
            return True
    # Two that know nothing of each other: a class that is both would have to be made for it. Of abstract ones there are such.
    return _is_abstract(kind) and (_is_abstract(needed) or needed.__module__ != "builtins")


def _is_protocol(kind: type) -> bool:
    return vars(kind).get("_is_protocol") is True and kind.__module__ != "collections.abc"


def _is_abstract(kind: type) -> bool:
    """Say whether other classes may count as this one without inheriting from it."""
    if type(kind) is type:
        return False
    return kind.__module__ in ABSTRACT or type(kind).__name__ == "ABCMeta"


def _arguments_fit(
    kind: type, own: tuple[Any, ...], needed: type, wanted: tuple[Any, ...], depth: int
) -> bool:
    if not wanted or (not own and kind not in TEXTS) or wanted == ((),) or own == ((),):
        return True
    if kind is tuple and needed is tuple:
        return _tuples_fit(own, wanted, depth)
    if kind in MAPPINGS and needed in MAPPINGS:
        return len(own) != 2 or len(wanted) != 2 or _each_fits(own, wanted, depth)
    if kind is needed and kind.__name__ != "Callable":
        return len(own) != len(wanted) or _each_fits(own, wanted, depth)
    if needed in ITERABLES:
        if kind is tuple:
            known = [each for each in own if each is not Ellipsis and not _is_unpacked(each)]
            return all(may_fit(each, wanted[0], depth) for each in known)
        if kind in TEXTS or kind in ITERABLES or kind in MAPPINGS:
            return may_fit(items_of(kind[own] if own else kind), wanted[0], depth)  # type: ignore[index]
    return True


def _tuples_fit(own: tuple[Any, ...], wanted: tuple[Any, ...], depth: int) -> bool:
    if any(map(_is_unpacked, (*own, *wanted))):
        return True
    if Ellipsis not in own and Ellipsis not in wanted:
        return len(own) == len(wanted) and _each_fits(own, wanted, depth)
    owns, wants = (each[:1] if Ellipsis in each else each for each in (own, wanted))
    return all(may_fit(one, other, depth) for one in owns for other in wants)


def _each_fits(own: tuple[Any, ...], wanted: tuple[Any, ...], depth: int) -> bool:
    return all(may_fit(one, other, depth) for one, other in zip(own, wanted, strict=True))


def _is_unpacked(found: Any) -> bool:
    """Say whether a type stands for any number of them: `*Ts`, `*tuple[int, ...]`."""
    if isinstance(found, types.GenericAlias):
        return bool(found.__unpacked__)
    return typing.get_origin(found) is typing.Unpack
