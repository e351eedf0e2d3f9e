"""docs/llms.txt, made from the pages: what flowrt is, and one line for each page and each of its sections.

    python -m tests.house.llms             prints it
    python -m tests.house.llms --write     writes it

The form is that of https://llmstxt.org: a heading, a summary as a quotation, lists of links. Links are relative to the file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from tests.house.source import ROOT

FILE = ROOT / "docs" / "llms.txt"
# Whoever writes a flow needs the first list; a page that is in none of them is a failure of the test.
LISTS = {
    "Begin": ("../README.md", "when.md", "tutorial.md", "recipes.md", "project.md"),
    "Use": (
        "guide.md",
        "reference.md",
        "errors.md",
        "stalls.md",
        "testing.md",
        "cli.md",
        "checks.md",
        "glossary.md",
    ),
    "Optional": (
        "design.md",
        "performance.md",
        "from_npantarhei.md",
        "contributing.md",
        "releasing.md",
        "security.md",
        "../CHANGELOG.md",
    ),
}


@frozen
class Page:
    link: str
    title: str
    says: str  # its first sentence
    sections: tuple[str, ...]


def read(link: str) -> Page:
    """Return what is told of a page, from its text."""
    text = re.sub(
        r"^```.*?^```$", "", (FILE.parent / link).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    title = _plain(_found(r"^# (.+)$", text, link))
    first = _found(r"^(?![#\s|<-])(.+)$", text.partition("\n")[2], link)
    sections = tuple(_plain(each) for each in re.findall(r"^## (.+)$", text, re.MULTILINE))
    return Page(link, title, re.split(r"(?<=[.:]) ", _plain(first))[0].rstrip(":."), sections)


def _found(pattern: str, text: str, link: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    assert found, f"{link} has no line like {pattern}"
    return found[1]


def _plain(text: str) -> str:
    """Return a line without the marks of links, code and emphasis."""
    return re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text).replace("`", "").replace("*", "").strip()


def lines() -> Iterator[str]:
    """Yield the file, line by line."""
    readme = read("../README.md")
    yield from (f"# {readme.title}", "", f"> {readme.says}.")
    for name, links in LISTS.items():
        yield from ("", f"## {name}", "")
        for page in map(read, links):
            sections = f" Sections: {'; '.join(page.sections)}." if page.sections else ""
            yield f"- [{page.title}]({page.link}): {page.says}.{sections}"


def pages() -> set[str]:
    """Return the links of all pages that there are."""
    return {f"../{name}" for name in ("README.md", "CHANGELOG.md")} | {
        path.relative_to(FILE.parent).as_posix() for path in FILE.parent.glob("**/*.md")
    }


def text() -> str:
    """Return the whole file."""
    return "".join(f"{line}\n" for line in lines())


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        Path(FILE).write_text(text(), encoding="utf-8")
    else:
        sys.stdout.write(text())
