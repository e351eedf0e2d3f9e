"""Every behaviour the runtime was specified by has a test that names its number.

A test names a number in its docstring, or in a comment inside it or directly above it and its decorators; `noqa` comments do not count.
The numbers are listed here with a few words each; `grep -rn B215 tests` finds what shows one.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
NUMBER = re.compile(r"\bB\d\d[0-9A-F]\b")

# number: what it is about. Left out are distribution (B310–B31C) and the viewer (B335–B338).
BEHAVIOURS = dict(
    line.split(" ", 1)
    for line in """
B001 a name is path/operation#instance.port
B002 missing parts of a name are empty
B003 what stands between # and the port's dot is the instance
B004 a name without an operation is a port of the flow
B005 backslashes are slashes, asterisks vanish
B006 a name that starts with / is rooted
B007 spelling is kept, case is ignored
B008 one grammar of names on every system
B020 one stream a line
B021 comments in flow text
B022 blank lines and white space around names
B023 text added to a flow of a name belongs to that flow
B024 headlines
B025 the headline / leads back to the root
B026 columns after the second
B027 several flows in one text
B028 ports of a flow
B029 the unnamed port of a flow
B030 a name with a slash in front
B031 other paths inside a flow
B032 where flow text comes from
B033 a headline that comes again
B034 faults of flow text
B040 input goes to every stream of its port
B041 output is treated like input at that port
B042 input may enter at any start of a stream
B043 names match whatever their case
B044 targets are served in the order of their streams
B045 a stream added twice delivers twice
B046 output without a stream is legal
B047 so is input
B048 a stream to an operation nobody registered
B049 branches share the object
B050 what arrives at a root port is a result
B051 matching needs the whole name
B052 a hop costs the same in a large flow
B053 operations are found by their bare name
B054 a runtime is configured again, also while it runs
B055 taps see what is about to be taken
B056 taps see neither the source message nor what goes nowhere
B060 an action emits any number of messages
B061 an action with two continuations has two ports
B062 in-ports of functions are free
B063 a signal only where asked for
B064 what can be an operation
B065 a continuation called late
B066 data of the wrong type
B067 operations with a contract of their own
B068 marks on what is added by name
B070 instances are places of their own
B071 output leaves by the instance of its input
B072 instances share no state
B080 a headline and streams make a flow
B081 entering and leaving a flow
B082 branches return independently
B083 many ports of a flow, named and unnamed
B084 a flow used in many places returns to each
B085 a flow that calls itself
B086 instances of flows
B087 a root-level flow called from any depth
B088 an operation wins over a flow of its name
B089 an operation used in several flows
B090 no operation emits into another flow
B091 paths without a flow
B092 entering a flow by a path
B093 results leave through the root only
B100 what a message carries
B101 the correlation id goes everywhere
B102 late output has the id of its own input
B103 the correlator
B104 an operation may set an id where there is none
B105 inside flows and instances too
B106 a correlator's unknown port
B120 a push opens a scope of errors
B121 errors arrive at the exception port
B122 with the original and the message
B123 a pop closes the innermost
B124 scopes nest
B125 scopes cross threads and borders
B126 errors overtake
B127 an error of the handler
B128 the handler runs in the flow of the push
B129 an exception port without a stream
B130 errors outside any scope go to the runtime's handlers
B131 and the flow goes on
B132 nobody listens
B133 the original is the direct cause
B134 errors never run back through upstream operations
B135 a pop without a push
B136 errors of async and parallel operations
B137 subscribers that raise
B138 a handler may send input that overtakes
B139 wiring faults noticed late
B13A causalities of joined messages
B150 sync: depth first on the caller's thread
B151 depth first
B152 breadth first
B153 round robin
B154 parallel
B155 feedback loops
B156 loops need no stack
B157 sync operations share one thread
B158 inputs are worked off in order
B159 whatever runs elsewhere comes back
B160 higher priority first
B161 equal priority in order of arrival
B162 priority is inherited
B163 under round robin too
B164 under depth first too
B165 schedules of one's own
B170 async operations
B171 keep the order of their inputs
B172 their outputs come back
B173 parallel operations
B174 every idle worker is woken
B175 order per port
B176 pools
B177 unnamed: threads of its own
B178 a pool has one kind
B179 pools belong to the runtime
B180 the size of a pool
B181 queues cost the same however long, and are bounded
B182 a worker that starts late
B183 a runtime runs without being started
B184 closing
B185 closing from inside
B186 closing takes no time and leaves nothing
B187 input after the close
B190 results are kept until somebody reads them
B191 subscribers come and go
B192 waiting for a result
B193 several kept results
B194 send and wait
B195 a wait that is over takes nothing
B196 a wait gets its own result
B197 no result is stuck
B198 event processors
B210 an auto-reset join
B211 any number of inputs
B212 a join keeps ids apart
B213 other ports of a join
B214 a manual-reset join before it is complete
B215 on becoming complete
B216 after that
B217 reset
B218 a manual-reset join keeps ids apart
B219 what joins keep is bounded
B230 scatter emits the items in order
B231 and their number
B232 of an empty list
B233 gather collects as many as announced
B234 the count comes when it likes
B235 ids are gathered apart
B236 surplus items wait for a further count
B237 the word count
B238 gather beside parallel operations
B239 a gather in a feedback loop
B23A other ports and counts of a gather
B250 slow motion
B251 where it delays
B252 debounce
B253 the last message with its own context
B254 errors behind it
B260 active operations are activated
B261 and emit without input
B262 in every mode
B263 a clock
B264 from the start of the runtime to its end
B270 dispatched operations
B271 errors there
B272 a mark does the same
B273 dispatchers to choose from
B274 each operation its own
B280 components
B281 ports of components
B282 context of their events
B283 events of their own accord
B284 one component triggers another
B285 chains of components
B286 modes of their methods
B287 errors of their methods
B288 unknown ports of theirs
B289 a component in a mode
B28A events from threads of their own
B28B events before there is a runtime
B28C nothing is kept per thread
B300 methods of an object
B301 static methods of a class
B302 signatures
B303 ports after parameters
B304 no signal unasked
B305 properties are no operations
B306 marks choose the mode
B307 errors come as they are
B308 operations of a package
B309 a program by convention
B30A flows and operations added as a unit
B30B selecting an operation
B30C shared data
B330 a picture of a flow
B331 its boxes and points
B332 names in it
B333 the flows of a text
B334 the flow around a line
""".strip().splitlines()
)


def named_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield (number, name of the test) for all that the tests of a module name."""
    lines = text.splitlines()
    comments = {
        token.start[0]: token.string
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and "noqa" not in token.string
    }
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            while first > 1 and lines[first - 2].lstrip().startswith("#"):
                first -= 1
            said = [
                comments[line] for line in range(first, (node.end_lineno or first) + 1) if line in comments
            ]
            for number in NUMBER.findall("\n".join([ast.get_docstring(node) or "", *said])):
                yield number, node.name


@pytest.fixture(scope="module")
def named() -> dict[str, list[str]]:
    """The tests that name each number, as file::test."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("*.py")):
        text = path.read_text("utf-8")
        for number, test in named_in(text) if NUMBER.search(text) else ():
            found.setdefault(number, []).append(f"{path.name}::{test}")
    return found


def test_every_behaviour_has_a_test_that_names_it(named: dict[str, list[str]]) -> None:
    missing = [f"{number} {about}" for number, about in BEHAVIOURS.items() if number not in named]

    assert missing == []


def test_every_number_a_test_names_is_a_behaviour(named: dict[str, list[str]]) -> None:
    assert {number: tests for number, tests in named.items() if number not in BEHAVIOURS} == {}


def test_a_number_is_named_in_a_docstring_or_a_comment_and_nowhere_else() -> None:
    text = '''
# B040 is no test
def helper():
    """B041."""

# B042: above it
@decorated
# B043
def test_one(given="B044"):
    """B045, B046."""
    # B047
    assert given == "B048"  # noqa: B049

# B050 belongs to nobody

class TestMore:
    def test_two(self):
        """As B051 says."""
'''

    assert [number for number, _ in named_in(text)] == ["B045", "B046", "B042", "B043", "B047", "B051"]
