"""GENAI_REDACT: what it masks, and what it leaves."""

from typing import Any

import orjson
import pytest

from streams import redact
from streams.dlq import Letter, masked
from streams.errors import SpineError
from streams.reading import Record

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("words", "given", "shown"),
    [
        ("", "ada@example.org", "ada@example.org"),
        ("email", "write to ada.l+x@mail.example.org, soon", "write to ***, soon"),
        ("email", "john.o\u2019neil@acme.com, o'neil@acme.com", "***, ***"),
        ("email", "it's 'ada@example.org'", "it's '***'"),
        ("email", "not@ an address", "not@ an address"),
        # by its check digit: 4111…1111 is the card of all examples, …1112 is none
        ("card", "4111 1111 1111 1111 and 4111-1111-1111-1112", "*** and 4111-1111-1111-1112"),
        ("card", "order 1201 of 2026-11-21", "order 1201 of 2026-11-21"),
        ("iban", "to DE89 3704 0044 0532 0130 00 today", "to *** today"),
        ("email,card", "ada@example.org 4111111111111111", "*** ***"),
        (r"/AC-\d{4}/", "file AC-1234 of AC-12", "file *** of AC-12"),
        (r'["/\\d{2,3}kg/", "email"]', "84kg, ada@example.org", "***, ***"),
    ],
)
def test_a_text_is_masked_by_what_it_looks_like(words: str, given: str, shown: str) -> None:
    assert redact.of(words).text(given) == shown


def test_a_field_is_masked_by_its_name_at_any_depth_and_a_card_as_a_number() -> None:
    given = {"Patient": {"name": "Ada"}, "n": [4111111111111111, 7], "notes": [{"patient": 1, "kind": "x"}], "ok": True}
    assert redact.of("patient, card").value(given) == {
        "Patient": "***",
        "n": ["***", 7],
        "notes": [{"patient": "***", "kind": "x"}],
        "ok": True,
    }


def test_a_pattern_with_a_name_is_a_fields_name_too() -> None:
    assert redact.of("email").value({"email": {"none": "such"}}) == {"email": "***"}


@pytest.mark.parametrize(
    ("words", "says"),
    [("/(/", "no regular expression"), ('["email"', "JSON list"), ('["a", 1]', "list of words")],
)
def test_what_is_no_redaction_is_told(words: str, says: str) -> None:
    with pytest.raises(SpineError, match=says):
        redact.of(words)


def letter(**changes: Any) -> Letter:
    usual: dict[str, Any] = {
        "topic": "genai.dlq",
        "partition": 0,
        "offset": 3,
        "timestamp": 0,
        "key": b"ada@example.org",
        "value": orjson.dumps({"id": "7", "input": {"content": "Mail ada@example.org", "ssn": "1-2"}}),
        "headers": (("genai-error", b"no ada@example.org"), ("genai-id", b"7"), ("SSN", b"1-2")),
    }
    return Letter(Record(**usual | changes))


def test_a_dead_letter_is_masked_in_key_value_and_headers_and_stays_json() -> None:
    shown = masked(letter(), redact.of("email,ssn")).record
    assert (shown.key, orjson.loads(shown.value or b""), dict(shown.headers)) == (
        b"***",
        {"id": "7", "input": {"content": "Mail ***", "ssn": "***"}},
        {"genai-error": b"no ***", "genai-id": b"7", "SSN": b"***"},
    )


def test_bytes_that_are_no_json_are_masked_as_text() -> None:
    assert masked(letter(value=b"\xff ada@example.org"), redact.of("email")).record.value == "\ufffd ***".encode()
