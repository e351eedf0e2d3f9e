"""What becomes of the text, step by step; where the steps lie in a flow is no concern of theirs."""

from __future__ import annotations

from typing import Any

from flowrt import FlowOperationContainer, Gather, Scatter

Pair = tuple[str, str]


def entries(text: str) -> list[str]:
    """Take a text apart at its semicolons; empty entries say nothing."""
    return [entry for entry in text.split(";") if entry]


def pair(entry: str) -> Pair:
    """Take an entry apart at its first equals sign.

    Raises:
        ValueError: there is none, or no key in front of it.
    """
    key, equals, value = entry.partition("=")
    if not (equals and key):
        raise ValueError(f"an entry is key=value, got {entry!r}")
    return key, value


def path(setting: Pair) -> tuple[list[str], str]:
    """Take a key apart at its slashes."""
    key, value = setting
    return key.split("/"), value


def tree(settings: list[tuple[list[str], str]]) -> dict[str, Any]:
    """Put values into dictionaries inside dictionaries, each where its path leads.

    Raises:
        ValueError: a path leads through a value.
    """
    root: dict[str, Any] = {}
    for (*folders, name), value in settings:
        place = root
        for folder in folders:
            place = place.setdefault(folder, {})
            if not isinstance(place, dict):
                raise ValueError(f"{folder!r} is a value and cannot hold {name!r}")  # noqa: TRY004 - a fault of the text
        place[name] = value
    return root


operations = (
    FlowOperationContainer()
    .add_func("entries", entries)
    .add_operation(Scatter("scatter"))
    .add_func("pair", pair)
    .add_func("path", path)
    .add_operation(Gather("gather", ordered=True))
    .add_func("tree", tree)
)
