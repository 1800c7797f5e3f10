"""The judge refuses what it must: evidence in which all is well, spoiled in one way at a time."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos import oracle
from tests.chaos.oracle import Call, Evidence, Seen
from tests.chaos.traffic import TOPICS, Record, Sent

pytestmark = pytest.mark.fast

BOOK = "2026-11-21|fake|fake|default"


def sent(id_: str, offset: int, **more: Any) -> Sent:
    return Sent(Record(TOPICS[0], 0, more.pop("key", None), f"payload of {id_}".encode(), id_, **more), offset)


def result(of: Sent, offset: int, **changes: Any) -> Seen:
    source = {"topic": of.record.topic, "partition": of.record.partition, "offset": of.offset}
    body = {
        "id": of.record.id,
        "tenant": "default",
        "operation": "summarize",
        "generation": 1,
        "replayed": False,
        "error": None,
        "source": source,
        **changes,
    }
    key = of.record.id.encode() if of.record.key is None else of.record.key
    return Seen("genai.results", 0, offset, key, json.dumps(body).encode(), {})


def usage(id_: str, number: int, offset: int, cost: str = "0.000017") -> Seen:
    event = {"id": id_, "at": "2026-11-21T10:00:00Z", "provider": "fake", "model": "fake", "tenant": "default"}
    return Seen(
        "genai.usage",
        0,
        offset,
        b"",
        json.dumps({**event, "cost_usd": cost}).encode(),
        {"genai-number": str(number).encode()},
    )


def call(request: str, at: float, **changes: Any) -> Call:
    made = Call(f"call-{request}", request, 1, "ok", None, BOOK, 17_000, at, at + 1.0)
    return replace(made, **changes)


A = sent("a", 0, ordered=True, key=b"k")
B = sent("b", 1, ordered=True, key=b"k", on_ambiguous="fail")
POISON = Sent(Record(TOPICS[0], 0, b"p", b"<xml>", expect="letter"), 2)
REFUSED = sent("r", 3, expect="refusal")
CONFLICT = Sent(replace(A.record, value=b"something else"), 4)
INVALID, CLASH = {"type": "invalid_request"}, {"type": "idempotency_conflict"}


def good() -> Evidence:
    return Evidence(
        sent=[A, B, POISON, REFUSED, CONFLICT],
        results=[
            result(A, 0),
            result(A, 1),  # published twice, by a relay that died before it marked
            result(B, 2),
            result(REFUSED, 3, error=INVALID),
            result(CONFLICT, 4, generation=0, error=CLASH),
        ],
        letters=[Seen("genai.dlq", 0, 0, b"p", b"<xml>", {"genai-source": POISON.place.encode()})],
        usage=[usage("call-a", 1, 0), usage("call-a", 1, 1), usage("call-b", 2, 2)],
        journal=[call("a", 1.0), call("b", 2.0)],
        days={BOOK: 34_000},
        executed={"a": 1, "b": 1},
        most_in_flight=2,
        slots=2,
        window=0,
    )


def test_all_is_well() -> None:
    assert oracle.judge(good()) == []


LOST, ONE, PLACE, PAID, WINDOW, TOTALS, NUMBERS, SLOTS, ORDER = oracle.INVARIANTS

SPOILED: list[tuple[str, str, Callable[[Evidence], Evidence]]] = [
    (
        "a result is missing",
        LOST,
        lambda e: replace(e, results=[r for r in e.results if b'"b"' not in (r.value or b"")]),
    ),
    ("a dead letter is missing", LOST, lambda e: replace(e, letters=[])),
    ("a dead letter was touched", LOST, lambda e: replace(e, letters=[replace(e.letters[0], value=b"<xml/>")])),
    ("a refusal is no refusal", LOST, lambda e: replace(e, results=[*e.results[:3], result(REFUSED, 3), e.results[4]])),
    ("a conflict was not told", LOST, lambda e: replace(e, results=e.results[:4])),
    ("a row has not ended", LOST, lambda e: replace(e, unfinished=["b (calling, owner w)"])),
    ("the outbox is not empty", LOST, lambda e: replace(e, unpublished=1)),
    ("two different results", ONE, lambda e: replace(e, results=[*e.results, result(A, 5, error=CLASH)])),
    ("another key", PLACE, lambda e: replace(e, results=[*e.results, replace(e.results[0], key=b"other")])),
    ("another partition", PLACE, lambda e: replace(e, results=[*e.results[:2], replace(e.results[2], partition=1)])),
    ("an answer to nothing", PLACE, lambda e: replace(e, results=[*e.results, result(sent("z", 9), 5)])),
    ("called and not booked", PAID, lambda e: replace(e, executed={"a": 2, "b": 1})),
    ("answered twice", PAID, lambda e: replace(e, journal=[*e.journal, call("a", 3.0)], executed={"a": 2, "b": 1})),
    ("booked and never called", PAID, lambda e: replace(e, executed={"a": 1})),
    (
        "called twice although it must not be",
        PAID,
        lambda e: replace(e, journal=[*e.journal, call("b", 3.0, outcome="wasted")], executed={"a": 1, "b": 2}),
    ),
    (
        "more lost sight of than was under way",
        WINDOW,
        lambda e: replace(e, journal=[*e.journal, call("a", 0.0, outcome="wasted", error_type="ambiguous", nano=0)]),
    ),
    ("the days are one micro-dollar off", TOTALS, lambda e: replace(e, days={BOOK: 35_000})),
    (
        "the journal is one micro-dollar off",
        TOTALS,
        lambda e: replace(e, journal=[call("a", 1.0, nano=18_000), e.journal[1]]),
    ),
    (
        "an event is one micro-dollar off",
        TOTALS,
        lambda e: replace(e, usage=[*e.usage[:2], usage("call-b", 2, 2, "0.000018")]),
    ),
    ("the table is one micro-dollar off", TOTALS, lambda e: replace(e, table={BOOK: 33_000})),
    ("an event is missing", TOTALS, lambda e: replace(e, usage=e.usage[:2])),
    ("a call is still open", TOTALS, lambda e: replace(e, journal=[*e.journal, call("a", 3.0, outcome=None, nano=0)])),
    ("a number is missing", NUMBERS, lambda e: replace(e, usage=[*e.usage[:2], usage("call-b", 3, 2)])),
    ("one call too many at once", SLOTS, lambda e: replace(e, most_in_flight=3)),
    ("answered out of order", ORDER, lambda e: replace(e, results=[result(B, 0), result(A, 1), *e.results[3:]])),
    ("called while the one ahead was called", ORDER, lambda e: replace(e, journal=[call("a", 1.0), call("b", 1.5)])),
]


@pytest.mark.parametrize(("invariant", "spoil"), [(i, s) for _, i, s in SPOILED], ids=[name for name, _, _ in SPOILED])
def test_each_broken_promise_is_told(invariant: str, spoil: Callable[[Evidence], Evidence]) -> None:
    assert invariant in {finding.invariant for finding in oracle.judge(spoil(good()))}


def test_a_request_that_is_sent_again_after_it_failed_has_a_new_place_in_its_line() -> None:
    """Seen: it was poison, the one behind it went on, and its second generation was called after that."""
    evidence = good()
    again = [*evidence.journal, replace(call("a", 9.0), id="call-a2", generation=2)]
    assert ORDER not in {finding.invariant for finding in oracle.judge(replace(evidence, journal=again))}


def test_no_invariant_is_without_evidence_against_it() -> None:
    assert {invariant for _, invariant, _ in SPOILED} == set(oracle.INVARIANTS)
