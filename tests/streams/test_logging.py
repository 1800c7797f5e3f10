"""What a log line holds, and what it never does."""

import io
import logging as standard
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import structlog
from aiokafka.errors import KafkaConnectionError

from streams import logging

pytestmark = pytest.mark.fast

MARKER = "marker-of-a-users-text"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    handlers, level = list(standard.getLogger().handlers), standard.getLogger().level
    yield
    standard.getLogger().handlers[:], standard.getLogger().level = handlers, level
    standard.captureWarnings(capture=False)
    structlog.reset_defaults()


def configured(form: str, level: str = "info", redact: str = "") -> io.StringIO:
    out = io.StringIO()
    logging.configure(level, form, out, redact=redact)
    return out


def deepest(words: str) -> None:
    raise KeyError(words)


def broken(words: str) -> Exception:
    try:
        deepest(words)
    except KeyError as cause:
        error = ValueError(words)
        error.__cause__ = cause
        return error
    raise AssertionError


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("logger", [structlog.get_logger("x"), standard.getLogger("faust")])
def test_a_traceback_shows_where_and_which_type_and_not_what_it_quotes(form: str, logger: Any) -> None:
    out = configured(form)
    logger.error("an operation broke", exc_info=broken(MARKER))
    text = out.getvalue()
    assert (MARKER in text, "in deepest" in text, "ValueError" in text) == (False, True, True)


def test_at_debug_it_shows_all() -> None:
    out = configured("json", "debug")
    structlog.get_logger("x").error("an operation broke", exc_info=broken(MARKER))
    assert MARKER in out.getvalue()


@pytest.mark.parametrize("error", [OSError("No space left on device"), KafkaConnectionError("no broker")])
def test_what_speaks_of_the_machine_and_the_broker_is_kept(error: Exception) -> None:
    assert str(error) in logging.trace(error)


def test_fields_and_patterns_are_masked_in_both_kinds_of_lines() -> None:
    out = configured("json", redact="email,ssn")
    structlog.get_logger("x").warning("mail to ada@example.org", ssn="1-2", request_id="r")
    standard.getLogger("faust").warning("mail to %s", "ada@example.org")
    lines = [orjson.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["event"], line.get("ssn"), line.get("request_id")) for line in lines] == [
        ("mail to ***", "***", "r"),
        ("mail to ***", None, None),
    ]


def test_an_id_that_a_terminal_would_obey_is_written_out() -> None:
    out = configured("console")
    structlog.get_logger("x").warning("another try", request_id="a\x1b[31mred\u202e\x00\x9b2J")
    assert "\\x1b[31mred\\u202e\\x00\\x9b2J" in out.getvalue()
    assert not set(out.getvalue()) & {"\x1b", "\u202e", "\x00", "\x9b"}


def record(words: str) -> standard.LogRecord:
    return standard.LogRecord("aiokafka", standard.ERROR, __file__, 1, words, None, None)


def test_what_heals_by_itself_is_nothing_at_first_and_a_warning_when_it_lasts() -> None:
    words = "Group Coordinator Request failed: [Error 15] GroupCoordinatorNotAvailableError"
    soon, late = record(words), record(words)
    lasting = logging.Healing(lasts_s=0.0)
    assert (logging.Healing().filter(soon), lasting.filter(late), late.levelno) == (False, True, standard.WARNING)


def test_what_began_long_ago_and_was_over_begins_anew() -> None:
    words = record("GroupCoordinatorNotAvailableError")
    found = logging.Healing(lasts_s=0.01, over_s=0.0)
    assert [found.filter(words) for _ in range(3)] == [False, False, False]


def test_other_errors_are_errors_at_once() -> None:
    other = record("Unable connect to node")
    assert (logging.Healing().filter(other), other.levelno) == (True, standard.ERROR)
