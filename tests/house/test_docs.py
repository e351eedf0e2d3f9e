"""Every example in the README and in docs/ runs, and prints what the page says.

The ```python blocks of a page share one namespace and run in order, in a folder of their own that holds the samples.
A ```text block right behind a block says what that prints. A ```console block holds commands behind "$ ", and what each of them prints:
those of flowrt, and `cat > FILE <<'END'`. `<!-- not run -->` in front of a block skips it.
Where an error names a line of the page, the text block names a line of example.py: of a file that holds that block alone.
"""

from __future__ import annotations

import contextlib
import io
import os
import pydoc
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

from flowrt.cli import main
from flowrt.flow.checks import Finding, check
from flowrt.runtime.building import Building

pytestmark = pytest.mark.no_cover

ROOT = Path(__file__).parents[2]
PAGES = [page for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))) if page.is_file()]
NOT_RUN = "<!-- not run -->"
WITH_FAULTS = ("checks", "errors")  # pages that show what is wrong
HALF_DONE = ("F201", "F203")  # operations that are run alone, or connected later


@frozen
class Block:
    language: str
    line: int  # of its first line of text in the page
    text: str
    is_run: bool
    is_output: bool  # nothing but blank lines between it and a python block


def blocks(page: str) -> Iterator[Block]:
    fence, language, indent, start = "", "", 0, 0
    lines: list[str] = []
    before, last = "", ""  # the last line that is not blank; the language of the block that ended there
    for number, line in enumerate(page.splitlines(), 1):
        stripped = line.strip()
        if fence:
            if stripped == fence:
                text = "".join(one[indent:] + "\n" for one in lines)
                yield Block(language, start, text, before != NOT_RUN, before == "```" and last == "python")
                fence, before, last = "", "```", language if before != NOT_RUN else ""
            else:
                lines.append(line)
        elif opened := re.match(r"(\s*)(`{3,}|~{3,})\s*(\w*)", line):
            fence, language, indent, start = opened[2], opened[3], len(opened[1]), number + 1
            lines = []
        elif stripped:
            before = stripped
    assert not fence, f"the block that starts on line {start - 1} never ends"


def run(page: str, name: str) -> None:
    """Run a page; the line numbers of tracebacks are the page's."""
    namespace: dict[str, object] = {"__name__": "__main__", "__file__": name}
    printed, code_line = "", 0
    starts: list[int] = []
    for block in blocks(page):
        if block.language == "python" and block.is_run:
            starts.append(block.line)
            code = compile("\n" * (block.line - 1) + block.text, name, "exec", dont_inherit=True)
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(code, namespace)
            printed, code_line = as_read(output.getvalue(), name, starts), block.line
        elif block.language == "console" and block.is_run:
            assert session(block.text) == block.text, f"{name}: printed by the commands on line {block.line}"
        elif block.language == "text" and block.is_output and block.is_run:
            assert printed.rstrip() == block.text.rstrip(), (
                f"{name}: printed by the block on line {code_line}"
            )


def session(text: str) -> str:
    """Run the commands of a block; return the block as it would be."""
    printed: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        if not line.startswith("$ "):
            continue  # printed by the command before
        printed.append(line)
        if written := re.fullmatch(r"\$ cat > (\S+) <<'END'", line):
            content = list(iter(lambda: next(lines), "END"))
            Path(written[1]).write_text("".join(f"{each}\n" for each in content), encoding="utf-8")
            printed += [*content, "END"]
        else:
            program, *arguments = shlex.split(line[2:])
            assert program == "flowrt"
            output = io.StringIO()
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                main(arguments)
            printed += output.getvalue().replace(f"{Path.cwd()}{os.sep}", "").splitlines()
    return "".join(f"{each}\n" for each in printed)


def as_read(printed: str, name: str, starts: list[int]) -> str:
    """Write places in the page as places in their block: the page may grow above it."""

    def place(found: re.Match[str]) -> str:
        line = int(found[1])
        return f"example.py:{line + 1 - max(start for start in starts if start <= line)}"

    return re.sub(re.escape(name) + r":(\d+)", place, printed)


@pytest.fixture
def _reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand where a reader stands who has the checkout: `samples` is near, what is written is written elsewhere."""
    if (ROOT / "samples").is_dir():
        (tmp_path / "samples").symlink_to(ROOT / "samples", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("COLUMNS", "150")


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What a check finds in the flows that are run."""
    findings: list[Finding] = []
    compiled = Building.compile

    def compile_and_check(building: Building) -> None:
        findings.extend(check(building.flow))
        compiled(building)

    monkeypatch.setattr(Building, "compile", compile_and_check)
    return findings


@pytest.mark.usefixtures("_reader")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_example_runs_and_prints_what_the_page_says(page: Path, found: list[Finding]) -> None:
    run(page.read_text(encoding="utf-8"), str(page))

    warnings = [each for each in found if each.severity == "warning" and each.code not in HALF_DONE]
    assert page.stem in WITH_FAULTS or warnings == []


def prose_of(page: Path) -> str:
    return re.sub(r"(?ms)^\s*```.*?^\s*```", "", page.read_text(encoding="utf-8"))


def leads_somewhere(page: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    found = page.parent / name if name else page
    return found.exists() and (not anchor or anchor in anchors_of(found))


def anchors_of(page: Path) -> set[str]:
    """The headings of a page, as links name them; one that comes again has a number."""
    headings = re.findall(r"(?m)^#+ (.+)$", prose_of(page))
    plain = [re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings]
    return {f"{one}-{before}" if (before := plain[:at].count(one)) else one for at, one in enumerate(plain)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)", prose_of(page))

    missing = [target for target in targets if "://" not in target and not leads_somewhere(page, target)]

    assert missing == []


def test_every_name_for_those_who_come_from_the_ancestor_exists() -> None:
    prose = prose_of(ROOT / "docs" / "from_npantarhei.md")
    names = set(re.findall(r"`(flowrt\.[\w.]+|[A-Z]\w*(?:\.\w+)?|[a-z]+_port|operation)`", prose))

    missing = [name for name in names if pydoc.locate(f"flowrt.{name.removeprefix('flowrt.')}") is None]

    assert missing == []
    assert len(names) > 30


@pytest.mark.slow
def test_the_tests_on_the_page_about_testing_pass_in_pytest(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    code = "\n".join(block.text for block in blocks(page) if block.language == "python" and block.is_run)
    (tmp_path / "test_page.py").write_text(code, encoding="utf-8")
    turned_on = [block.text for block in blocks(page) if block.text.startswith("pytest_plugins =")]
    (tmp_path / "conftest.py").write_text("".join(turned_on), encoding="utf-8")
    settings = [block.text for block in blocks(page) if block.language == "toml"]
    (tmp_path / "pyproject.toml").write_text("".join(settings), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "test_page.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(re.findall('(?m)^def test_', code))} passed" in done.stdout


PAGE = """
```python
number = 6
print(number * 7)
```

```text
42
```

```text
not the output of anything
```

<!-- not run -->
```python
raise SystemExit
```

```text
not the output of anything either
```

1. in a list

   ```python
   for _ in range(2):
       print(number)
   ```
   ```text
   6
   6
   ```

```sh
exit 1
```
"""


def test_a_page_is_run_block_by_block_in_one_namespace() -> None:
    run(PAGE, "page.md")


def test_a_page_that_prints_something_else_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"page\.md: printed by the block on line 3"):
        run(PAGE.replace("42", "43"), "page.md")


def test_the_line_of_an_error_is_the_line_of_the_page() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run(PAGE.replace("number * 7", "number / 0"), "page.md")

    assert caught.traceback[-1].lineno == 3  # counted from 0


def test_a_place_in_the_page_reads_as_a_line_of_its_block() -> None:
    read = as_read("declared at page.md:11, again at page.md:20", "page.md", [10, 20])

    assert read == "declared at example.py:2, again at example.py:1"


def test_a_block_without_an_end_is_noticed() -> None:
    with pytest.raises(AssertionError, match="the block that starts on line 2 never ends"):
        run("\n```python\n", "page.md")
