"""Text from producers and models stands in a terminal as text, whatever it holds."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from agents import OPERATIONS
from streams import demo, dlq, given, showing
from streams.commands import letters, submitting
from streams.commands.books import table
from streams.reading import Record

pytestmark = pytest.mark.fast

HOSTILE = "[red]not red[/red] \x1b[2J\x1b]0;title\x07 \u202egnp.exe \x00 \x9b31m [link=file:///x]y[/link] \ud800"
OBEYED = {"\x1b", "\x07", "\u202e", "\x00", "\x9b", "\ud800"}


def result(**changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {"status": "succeeded", "operation": "summarize", "id": HOSTILE, "latency_ms": 1}
    return usual | {"output": {"summary": HOSTILE}, "error": None, "replayed": False} | changes


@pytest.mark.parametrize(
    ("given", "keep", "shown"),
    [
        ("a\x1b[31mb", "", "a\\x1b[31mb"),
        ("one\ntwo\tthree\r", "\n\t", "one\ntwo\tthree\\r"),
        ("one\ntwo", "", "one\\ntwo"),
        ("a\u202eb\u2066c\u200fd", "", "a\\u202eb\\u2066c\\u200fd"),
        ("\ud83d", "", "\\ud83d"),
        # what people write stays: a hard space, emoji with joiners, Arabic, Chinese
        ("10\u00a0€ 👩\u200d💻 سلام 你好", "", "10\u00a0€ 👩\u200d💻 سلام 你好"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(given: str, keep: str, shown: str) -> None:
    assert showing.plain(given, keep) == shown


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"status": "failed", "error": {"type": "refused", "message": HOSTILE}},
        {"output": {"entities": [{"text": HOSTILE, "type": HOSTILE}]}},
        {"output": {"categories": [HOSTILE]}},
        {"output": {"content": HOSTILE}},
    ],
)
def test_a_result_is_one_line_of_text(changes: dict[str, Any]) -> None:
    line = showing.line(result(**changes))
    assert (set(line) & OBEYED, "\n" in line, "[red]not red[/red]" in line) == (set(), False, True)


def test_the_demos_tables_show_markup_as_text() -> None:
    out = io.StringIO()
    screen = demo.Screen()
    screen.console = Console(file=out, width=400, force_terminal=True, color_system="truecolor")
    screen.answers(demo.Tally(1, [result()]), "fake")
    shown = out.getvalue()
    assert ("[red]not red[/red] \\x1b[2J" in shown, {"\x07", "\u202e", "\x00", "\x9b"} & set(shown)) == (True, set())


def test_the_table_of_costs_shows_names_as_text() -> None:
    figures = {"calls": 1, "input_tokens": 1, "output_tokens": 1, "cost_usd": "0", "unpriced_calls": 0}
    day = {"date": "2026-11-21", "provider": "fake", "model": HOSTILE, "tenant": HOSTILE, **figures}
    out = io.StringIO()
    told = {"from": "2026-11-21", "to": "2026-11-21", "days": [day], "totals": figures}
    Console(file=out, width=600).print(table(told))
    assert (out.getvalue().count("[red]not red[/red]"), OBEYED & set(out.getvalue())) == (2, set())


def hostile_letter() -> dlq.Letter:
    """As hostile as its producer could make it."""
    raw = HOSTILE.encode(errors="surrogatepass")
    headers = (("genai-error-type", b"refused"), ("genai-source", raw), ("genai-error", raw), (HOSTILE, raw))
    return dlq.Letter(Record("genai.dlq", 0, 7, 0, raw, b'{"input": "\n' + raw + b'"}', headers))


@pytest.mark.parametrize("view", [letters.line, letters.whole])
def test_a_dead_letter_is_shown_as_text(view: Callable[[dlq.Letter], str]) -> None:
    shown = view(hostile_letter())
    assert (OBEYED & set(shown), "[red]not red[/red]" in shown) == (set(), True)


def test_a_line_that_submit_refuses_is_told_as_text() -> None:
    (bad,) = given.parse([b'{"operation": "\\u202e\\u001b[2J"}\n'], given.Wish(OPERATIONS))
    assert (isinstance(bad, given.Bad), OBEYED & set(submitting.told(bad))) == (True, set())
