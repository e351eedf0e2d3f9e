"""The samples give the results that other ways of counting and wrapping words give."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from io import StringIO
from pathlib import Path

import pytest

from flowrt import FlowRuntime, OperationError
from flowrt.testing import explore, run_flow
from samples.out_of_order import __main__ as out_of_order_program
from samples.out_of_order import book
from samples.out_of_order.flow import bind, set_chapter
from samples.telegram import __main__ as telegram_program
from samples.telegram import reformat
from samples.telegram.operations import LineAssembler, LineWriter, read_lines, split_words
from samples.word_count import __main__ as word_count_program
from samples.word_count import stage1_lists, stage2_scattered, stage3_guarded, stage4_text
from samples.word_count.operations import Total, Unreadable, count_words, find_files, total, words_in

CHECKOUT = Path(__file__).parents[2]
WORD_COUNT = CHECKOUT / "samples" / "word_count"
TELEGRAM = CHECKOUT / "samples" / "telegram"
OUT_OF_ORDER = CHECKOUT / "samples" / "out_of_order"
SECONDS = 20.0  # the limit of every wait; only a test that fails gets there

STAGES = (stage1_lists, stage2_scattered, stage3_guarded, stage4_text)
GUARDED = (stage3_guarded, stage4_text)


def count(stage, folder):
    with FlowRuntime(stage.word_count()) as runtime:
        return runtime.process(".in", folder).values(SECONDS)


def words_counted_in_another_way(folder):
    words = Counter()
    for path in folder.iterdir():
        if path.suffix == ".txt":
            text = path.read_text(encoding="utf-8").lower().replace("’", "'")
            letters = "".join(letter if letter.isalpha() or letter == "'" else " " for letter in text)
            words.update(word.strip("'") for word in letters.split() if word.strip("'"))
    return words


def run_module(module, *arguments):
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )


def printed_by(module, *arguments):
    done = run_module(module, *arguments)
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def without_times(output):
    return re.sub(r"\d+\.\d{3} s", "-.--- s", output)


def without_luck(output):
    """Leave out how often threads were right, and how many of the orders that hypothesis drew were different."""
    output = re.sub(r"the right book in \d+ of 100 runs", "the right book in - of 100 runs", output)
    return re.sub(r"the right book in all of \d+ orders", "the right book in all of - orders", output)


# --- word count: the operations alone -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("Call me Ishmael.", ["call", "me", "ishmael"]),
        ("don't Don’t DON'T", ["don't", "don't", "don't"]),
        ("'quoted' `twas the boys' ball", ["quoted", "twas", "the", "boys", "ball"]),
        ("well-known _You_ 1813 x2", ["well", "known", "you", "x"]),
        ("Opticæ, naïve", ["opticæ", "naïve"]),
    ],
)
def test_a_word_is_a_run_of_letters_with_apostrophes_inside(text, words):
    assert words_in(text) == words


def test_files_are_found_by_their_suffix_and_listed_by_name(tmp_path):
    for name in ("b.txt", "a.txt", "notes.md"):
        (tmp_path / name).touch()

    assert find_files(tmp_path) == [tmp_path / "a.txt", tmp_path / "b.txt"]


def test_busiest_words_of_equal_count_are_listed_in_alphabetical_order():
    counts = [Counter({"b": 1, "c": 2}), Counter({"a": 1})]

    assert total(counts) == Total(files=2, words=4, busiest=[("c", 2), ("a", 1), ("b", 1)])


def test_only_the_ten_busiest_words_are_listed():
    counts = [Counter("aabcdefghijklm")]

    assert total(counts).busiest == [(letter, 2 if letter == "a" else 1) for letter in "abcdefghij"]


def test_each_word_of_a_file_is_counted(tmp_path):
    book = tmp_path / "book.txt"
    book.write_text("To be, or not to be", encoding="utf-8")

    assert count_words(book) == Counter({"to": 2, "be": 2, "or": 1, "not": 1})


# --- word count: the stages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_counts_the_books_as_an_independent_count_does(stage):
    """B237."""
    words = words_counted_in_another_way(WORD_COUNT / "books")

    (result,) = count(stage, WORD_COUNT / "books")

    assert result.files == 12
    assert result.words == words.total()
    assert dict(result.busiest) == {word: words[word] for word, _ in result.busiest}
    assert [often for _, often in result.busiest] == sorted(words.values(), reverse=True)[:10]


def test_all_stages_agree_on_the_books():
    of_stages = [count(stage, WORD_COUNT / "books") for stage in STAGES]

    assert of_stages == of_stages[:1] * 4


@pytest.mark.parametrize("stage", STAGES)
def test_a_folder_without_texts_counts_nothing(stage, tmp_path):
    assert count(stage, tmp_path) == [Total(files=0, words=0, busiest=[])]


@pytest.fixture
def folder_with_unreadable_files(tmp_path):
    (tmp_path / "a.txt").write_text("Lives, Fortunes, and Honor", encoding="utf-8")
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "latin1.txt").write_bytes("Opticæ".encode("latin-1"))
    (tmp_path / "z.txt").write_text("and Fortunes", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("stage", GUARDED)
def test_a_guarded_count_reports_unreadable_files_and_totals_the_rest(folder_with_unreadable_files, stage):
    results = count(stage, folder_with_unreadable_files)

    assert [result for result in results if isinstance(result, Total)] == [
        Total(files=2, words=6, busiest=[("and", 2), ("fortunes", 2), ("honor", 1), ("lives", 1)])
    ]
    reported = {result.path.name: result.reason for result in results if isinstance(result, Unreadable)}
    assert sorted(reported) == ["folder.txt", "latin1.txt"]
    assert reported["latin1.txt"].startswith("'utf-8' codec can't decode byte 0xe6")


@pytest.mark.parametrize("stage", GUARDED)
def test_a_guarded_count_of_unreadable_files_alone_totals_none(tmp_path, stage):
    (tmp_path / "folder.txt").mkdir()

    results = count(stage, tmp_path)

    assert sorted(type(result).__name__ for result in results) == ["Total", "Unreadable"]
    assert Total(files=0, words=0, busiest=[]) in results


def test_every_message_of_a_guarded_count_is_accounted_for(folder_with_unreadable_files):
    with FlowRuntime(stage3_guarded.word_count()) as runtime:
        run = runtime.process(".in", folder_with_unreadable_files)
        run.wait(SECONDS)

        assert run.ledger.balanced
        assert run.ledger.failed == 2
        assert run.ledger.delivered == 3


@pytest.mark.parametrize("stage", [stage1_lists, stage2_scattered])
def test_without_a_causality_an_unreadable_file_fails_the_run(stage, tmp_path):
    (tmp_path / "latin1.txt").write_bytes("Opticæ".encode("latin-1"))

    with pytest.raises(OperationError) as failure:
        count(stage, tmp_path)

    assert isinstance(failure.value.__cause__, UnicodeDecodeError)


# --- word count: the program --------------------------------------------------------------------------------------


def run_word_count(*arguments):
    return run_module("samples.word_count", *arguments)


@pytest.mark.slow
def test_the_program_prints_the_expected_output_and_no_progress_into_a_pipe():
    done = run_word_count()

    assert done.stderr == ""
    assert done.returncode == 0
    assert without_times(done.stdout) == (WORD_COUNT / "expected_output.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_on_a_terminal_a_progress_line_counts_the_files_and_is_erased_at_the_end():
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "samples.word_count"], cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=theirs
    ) as program:
        os.close(theirs)
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            shown = read_to_the_end(terminal).decode()

        assert program.wait(SECONDS) == 0

    lines = shown.split("\r\x1b[K")
    assert lines[0] == ""
    assert lines[1] == "0 of 12 files counted"
    assert lines[-2] == "12 of 12 files counted"
    assert lines[-1] == ""


def read_to_the_end(terminal):
    pieces = []
    try:
        while piece := terminal.read(4096):
            pieces.append(piece)
    except OSError:  # how Linux says that the other side of a pseudo-terminal is closed
        pass
    return b"".join(pieces)


@pytest.mark.parametrize("stage", ["1", "2", "3", "4"])
def test_every_stage_prints_the_same_counts(stage, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["word_count", "--stage", stage])
    expected = (WORD_COUNT / "expected_output.txt").read_text(encoding="utf-8")

    assert word_count_program.main() == 0

    counts, _ = capsys.readouterr().out.split("operation ")
    assert expected.startswith(counts)


def test_the_program_reports_unreadable_files(folder_with_unreadable_files, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["word_count", str(folder_with_unreadable_files)])

    assert word_count_program.main() == 0

    output = capsys.readouterr().out
    assert "\n  fortunes           2\n" in output
    assert "latin1.txt could not be read: 'utf-8' codec can't decode byte 0xe6" in output
    assert "files: 2, words: 6, the busiest of them:" in output


@pytest.mark.slow
def test_the_flow_text_runs_from_the_command_line():
    done = run_module(
        *["flowrt", "run", "samples/word_count/root.flow"],
        *["-m", "samples.word_count.stage4_text", "-i", ".in=samples/word_count/books"],
    )

    assert done.stderr == ""
    counts = (WORD_COUNT / "expected_output.txt").read_text(encoding="utf-8").partition("\n\n")[0]
    assert done.stdout == f".out\t{counts}\n"


@pytest.mark.parametrize("stage", ["1", "2"])
def test_without_a_causality_the_program_ends_with_the_error(stage, tmp_path, monkeypatch, capsys):
    (tmp_path / "latin1.txt").write_bytes("Opticæ".encode("latin-1"))
    monkeypatch.setattr(sys, "argv", ["word_count", "--stage", stage, str(tmp_path)])

    assert word_count_program.main() == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "'utf-8' codec can't decode byte 0xe6" in printed.err


def test_a_folder_that_cannot_be_counted_ends_the_program_with_the_reason(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    reasons = {
        tmp_path / "nowhere": "does not exist. Name a folder with .txt files, or none for the books.",
        tmp_path / "file": "is no folder. Name a folder with .txt files, or none for the books.",
        tmp_path: "holds no .txt files. Name another folder, or none for the books.",
    }
    for folder, reason in reasons.items():
        monkeypatch.setattr(sys, "argv", ["word_count", str(folder)])

        with pytest.raises(SystemExit) as ended:
            word_count_program.main()

        assert ended.value.code == 2
        assert capsys.readouterr().err.endswith(f'error: argument FOLDER: "{folder}" {reason}\n')


# --- telegram -----------------------------------------------------------------------------------------------------


def test_lines_are_read_with_the_end_of_the_text_behind_the_last():
    assert list(read_lines("one\n\ntwo")) == ["one", "", "two", None]
    assert list(read_lines("")) == [None]


def test_a_line_is_split_into_words_and_the_end_handed_on():
    words = []

    for line in ("  to be \t", "", None):
        split_words(line, words.append)

    assert words == ["to", "be", None]


def test_a_line_is_handed_on_when_the_next_word_does_not_fit_and_the_last_one_at_the_end():
    lines = []
    assembler = LineAssembler(5)

    for word in ("to", "be", "or", None):
        assembler.assemble(word, lines.append)

    assert lines == ["to be", "or"]


def test_an_assembler_starts_afresh_after_the_end_of_a_text():
    lines = []
    assembler = LineAssembler(9)

    for word in ("one", None, None, "two", None):
        assembler.assemble(word, lines.append)

    assert lines == ["one", "two"]


def test_each_line_written_is_ended():
    out = StringIO()

    LineWriter(out).write("to be")

    assert out.getvalue() == "to be\n"


@pytest.mark.parametrize("width", [1, 12, 40])
def test_a_text_is_reformatted_to_the_expected_lines(width):
    text = (TELEGRAM / "gettysburg.txt").read_text(encoding="utf-8")
    expected = TELEGRAM / "expected" / f"width_{width}.txt"

    assert reformat(text, width) == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("", 10, ""),
        (" \n\n\t ", 10, ""),
        ("word", 4, "word\n"),
        ("a bb", 4, "a bb\n"),
        ("a bbb", 4, "a\nbbb\n"),
        ("a longest b c", 4, "a\nlongest\nb c\n"),
        ("one\n\n\n  two\r\nthree", 80, "one two three\n"),
    ],
)
def test_lines_hold_as_many_words_as_fit_and_longer_words_stand_alone(text, width, expected):
    assert reformat(text, width) == expected


def test_a_text_already_of_that_width_stays_as_it_is():
    text = (TELEGRAM / "expected" / "width_40.txt").read_text(encoding="utf-8")

    assert reformat(text, 40) == text


def test_a_width_below_one_is_an_error():
    with pytest.raises(ValueError, match=r"^a line must be at least 1 character wide, not 0$"):
        reformat("to be", 0)


@pytest.mark.slow
def test_the_telegram_program_prints_the_expected_lines():
    printed = printed_by("samples.telegram", "samples/telegram/gettysburg.txt", "--width", "12")

    assert printed == (TELEGRAM / "expected" / "width_12.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nowhere.txt"], 'cannot read "nowhere.txt": No such file or directory'),
        (
            [str(TELEGRAM / "gettysburg.txt"), "--width", "0"],
            "a line must be at least 1 character wide, not 0",
        ),
    ],
)
def test_what_cannot_be_reformatted_ends_the_telegram_program_with_the_reason(
    arguments, reason, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["telegram", *arguments])

    with pytest.raises(SystemExit) as ended:
        telegram_program.main()

    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(f"error: {reason}\n")


# --- out of order -------------------------------------------------------------------------------------------------


def test_a_chapter_is_set_in_capitals_without_the_blanks_around_it():
    assert set_chapter(" The Carpet-Bag\n") == "THE CARPET-BAG"


@pytest.mark.parametrize(
    ("chapters", "bound"),
    [([], ""), (["A"], "A"), (["B", "A", "B"], "B / A / B")],
    ids=["none", "one", "three"],
)
def test_chapters_are_bound_in_the_order_they_are_given_in(chapters, bound):
    assert bind(chapters) == bound


@pytest.mark.parametrize("ordered", [True, False])
def test_undisturbed_the_book_is_right_with_the_bug_and_without(ordered):
    (result,) = run_flow(book(ordered=ordered), out_of_order_program.INPUTS, deviations={})

    assert result.data == "LOOMINGS / THE CARPET-BAG / THE SPOUTER-INN"


def test_the_mended_book_is_right_on_threads():
    titles = [f"chapter {number}" for number in range(100)]

    (result,) = run_flow(book(ordered=True), [(".in", titles)])

    assert result.data == " / ".join(f"CHAPTER {number}" for number in range(100))


def test_the_bug_is_found_as_one_swap_and_comes_again_when_it_is_replayed():
    flow, inputs, check = book(ordered=False), out_of_order_program.INPUTS, out_of_order_program.check

    with pytest.raises(AssertionError) as found:
        explore(flow, inputs, check)

    order, how, replay = found.value.__notes__
    assert order.endswith("finish set#0, finish set#2, finish set#1")
    assert "shrunk to 1 deviation " in how
    deviations = {int(step): int(choice) for step, choice in re.findall(r"(\d+): (\d+)", replay)}
    assert replay == f"replay it: explore(flow, inputs, check, replay={deviations})"
    with pytest.raises(AssertionError):
        explore(flow, inputs, check, replay=deviations)


@pytest.mark.no_cover
@pytest.mark.slow
def test_the_mended_flow_is_right_in_every_order_in_which_calls_can_begin_and_end():
    explored = explore(book(ordered=True), out_of_order_program.INPUTS, out_of_order_program.check)

    assert explored.exhaustive


@pytest.mark.slow
def test_the_out_of_order_program_prints_what_its_readme_says_but_for_times_and_luck():
    printed = printed_by("samples.out_of_order")

    (shown,) = re.findall(r"(?s)```text\n(.*?)```", (OUT_OF_ORDER / "README.md").read_text(encoding="utf-8"))
    assert without_luck(without_times(printed)) == without_luck(without_times(shown))
