"""docs/design.md lists every module of the tree, in order, with what it says of itself."""

import ast
import re
from collections.abc import Iterator

from tests.house.listing import BEGIN, END, PAGE, imports_at_run_time, in_order, listing, listing_of, order_of
from tests.house.source import methods, modules, nodes, planted


def named(page: str) -> set[str]:
    """Return the modules and methods that the text of a page names, up to where it tells of what is not built."""
    before, _, rest = page.partition(BEGIN)
    text = before + rest.partition(END)[2].partition("## Not built yet")[0]
    return set(re.findall(r"`([a-z_]+(?:/[a-z_]+)*\.py|[A-Z]\w*\.\w+)`", text))


def there() -> Iterator[str]:
    for module in modules():
        yield module.file
        for each in nodes(module):
            if isinstance(each, ast.ClassDef):
                yield from (f"{each.name}.{method}" for method in methods(each))


def test_the_page_lists_the_tree() -> None:
    on_page = listing_of(PAGE.read_text(encoding="utf-8"))

    printed = listing(modules(), imports_at_run_time(), order_of(on_page))

    assert on_page.splitlines() == printed.splitlines(), "python -m tests.house.listing --write"


def test_the_page_names_what_is_there() -> None:
    missing = named(PAGE.read_text(encoding="utf-8")) - set(there())

    assert missing == set(), "correct the page: there is no such module or method"


def test_names_on_the_page_are_noticed() -> None:
    text = f"`engine/turn.py` has `Turn.take` for a `Turn` and `ports.py`\n{BEGIN}\n`a/b.py`\n{END}\n## Not built yet\n`aio.py`"

    assert named(text) == {"engine/turn.py", "Turn.take", "ports.py"}


def test_a_module_that_is_not_listed_is_noticed() -> None:
    before = order_of(listing_of(PAGE.read_text(encoding="utf-8")))
    new = planted("engine.plumbing", '"""Pipes and taps.\n\nMore of them."""')

    tables = listing([*modules(), new], imports_at_run_time(), before)

    assert "| `engine/plumbing.py` | Pipes and taps. |\n\n| `flow/` |" in tables


def test_a_name_without_a_module_is_not_listed() -> None:
    assert "engine/plumbing.py" not in listing(modules(), frozenset(), ["engine", "engine.plumbing"])


def test_a_listing_is_read_as_it_is_printed() -> None:
    tables = "| `engine/` | What decides. |\n|---|---|\n| `engine/turn.py` | The turn. |\n\n| `checks/` | `Finding` | x |"

    assert order_of(tables) == ["engine", "engine.turn", "checks"]


def test_a_module_stands_above_what_it_uses() -> None:
    imports = frozenset({("d", "a"), ("c", "d"), ("x", "y"), ("y", "x")})

    assert in_order("adcb", imports, ["b", "d", "a"]) == ["b", "c", "d", "a"]
    assert in_order("xy", imports, []) == ["x", "y"], (
        "a circle is left as it is: the test of layers tells of it"
    )
