"""The judge. It is shown what producers sent, the topics, the double's count and the ledger's tables; never a worker's memory.

`judge` gives a finding for each promise that was broken; none is the verdict that all were kept. Each invariant is a plain
function of the evidence, and `test_oracle` shows for each one evidence that it must refuse.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson

from schemas.money import from_usd
from tests.chaos.traffic import Sent

Book = Mapping[str, int]
"""`date|provider|model|tenant` to nano-dollars."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as a consumer sees it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Call:
    """A line of the journal."""

    id: str
    request: str
    generation: int
    outcome: str | None
    error_type: str | None
    book: str
    nano: int
    opened_at: float
    closed_at: float | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """`executed`: calls that the double ran, by request. `window`: how many may have been under way at all the deaths.
    `table`: the Faust table, where there is one.
    """

    sent: Sequence[Sent]
    results: Sequence[Seen]
    letters: Sequence[Seen]
    usage: Sequence[Seen]
    journal: Sequence[Call]
    days: Book
    executed: Mapping[str, int]
    most_in_flight: int
    slots: int
    window: int
    unfinished: Sequence[str] = ()
    unpublished: int = 0
    table: Book | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A promise that was not kept."""

    invariant: str
    words: str


@dataclass
class _Answers:
    """The results, read once: bodies by (id, generation), those that are about one record by its place."""

    of_request: dict[tuple[str, int], list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    of_record: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))


def judge(evidence: Evidence) -> list[Finding]:
    """All that is wrong."""
    return [
        Finding(name, words) for name, invariant in INVARIANTS.items() for words in dict.fromkeys(invariant(evidence))
    ]


def _answers(e: Evidence) -> _Answers:
    found = _Answers()
    for seen in e.results:
        result = orjson.loads(seen.value or b"null")
        if result["generation"] == 0 or result["replayed"]:
            source = result["source"]
            found.of_record[f"{source['topic']}/{source['partition']}/{source['offset']}"].append(result)
        else:
            found.of_request[result["id"], result["generation"]].append(result)
    return found


def _lost(e: Evidence) -> Iterator[str]:
    """Every record has its answer, its refusal or its dead letter; nothing waits any more."""
    answers = _answers(e)
    answered = {id_: bodies[0] for (id_, _), bodies in answers.of_request.items()}
    letters = {(s.headers.get("genai-source") or b"").decode(): s.value for s in e.letters}
    first = _accepted(e, answers)
    for sent in e.sent:
        record = sent.record
        if record.expect == "letter":
            if letters.get(sent.place, b"none") != record.value:
                yield f"{sent.place} has no dead letter with its bytes"
        elif record.id not in answered:
            yield f"{record.id} ({sent.place}) has no result"
        elif record.expect == "refusal":
            if (answered[record.id]["error"] or {}).get("type") != "invalid_request":
                yield f"{record.id} was not refused"
        elif record.value != first.get(record.id) and not _is_told_of_conflict(answers.of_record[sent.place]):
            yield f"{sent.place} conflicts with {record.id} and was not told so"
    yield from (f"{which} is unfinished" for which in e.unfinished)
    if e.unpublished:
        yield f"{e.unpublished} records were never published"


def _accepted(e: Evidence, answers: _Answers) -> dict[str, bytes | None]:
    """Which payload each id stands for: that of the record which its result names as its source."""
    values = {sent.place: sent.record.value for sent in e.sent}
    found: dict[str, bytes | None] = {}
    for (id_, _), bodies in answers.of_request.items():
        source = bodies[0]["source"]
        found[id_] = values.get(f"{source['topic']}/{source['partition']}/{source['offset']}")
    return found


def _is_told_of_conflict(bodies: Sequence[Mapping[str, Any]]) -> bool:
    return any((body["error"] or {}).get("type") == "idempotency_conflict" for body in bodies)


def _one_answer(e: Evidence) -> Iterator[str]:
    """One terminal result for each identity and generation; repetitions are the same bytes."""
    bodies: dict[tuple[str, str, str, int], set[bytes]] = defaultdict(set)
    for seen in e.results:
        result = orjson.loads(seen.value or b"null")
        if result["generation"] and not result["replayed"]:
            bodies[result["tenant"], result["operation"], result["id"], result["generation"]].add(seen.value or b"")
    for name, found in bodies.items():
        if len(found) > 1:
            yield f"{name} has {len(found)} different results"


def _in_place(e: Evidence) -> Iterator[str]:
    """A result has its request's key and partition, byte for byte."""
    places = {sent.place: sent.record for sent in e.sent}
    for seen in e.results:
        result = orjson.loads(seen.value or b"null")
        source = result["source"]
        record = places.get(f"{source['topic']}/{source['partition']}/{source['offset']}")
        if record is None:
            yield f"{result['id']} answers a record that nobody sent"
        elif seen.key != (result["id"].encode() if record.key is None else record.key):
            yield f"{result['id']} has the key {seen.key!r}"
        elif seen.partition != record.partition:
            yield f"{result['id']} is in partition {seen.partition}, its request in {record.partition}"


def _paid_once(e: Evidence) -> Iterator[str]:
    """Every call that ran stands in the books, and beyond the one that brought the answer each as wasted. A request that
    must never be paid twice never is; to send it again after its failure is another generation.
    """
    booked = [call for call in e.journal if call.outcome in {"ok", "wasted"}]
    paid = Counter(call.request for call in booked)
    never = {sent.record.id for sent in e.sent if sent.record.on_ambiguous == "fail"}
    for request, executed in e.executed.items():
        if executed > paid[request]:
            yield f"{request} was called {executed} times and booked {paid[request]} times"
    for (request, generation), count in Counter((call.request, call.generation) for call in booked).items():
        if count > 1 and request in never:
            yield f"{request}, generation {generation}, was called {count} times although on_ambiguous is fail"
    for (request, generation), count in Counter(
        (call.request, call.generation) for call in booked if call.outcome == "ok"
    ).items():
        if count > 1:
            yield f"{request}, generation {generation}, was answered and paid {count} times"
        if not e.executed.get(request):
            yield f"{request} is booked as answered and was never called"


def _within_window(e: Evidence) -> Iterator[str]:
    """Calls whose end nobody saw are no more than were under way at the deaths."""
    if (count := ambiguous(e)) > e.window:
        yield f"{count} calls were lost sight of, {e.window} can have been under way at the deaths"


def ambiguous(e: Evidence) -> int:
    """Calls whose worker died before their answer was recorded."""
    return sum(1 for call in e.journal if call.error_type == "ambiguous")


def paid_twice(e: Evidence) -> int:
    """Executions beyond the first of each generation."""
    begun = Counter(request for request, _ in {(call.request, call.generation) for call in e.journal})
    return sum(max(0, executed - begun[request]) for request, executed in e.executed.items())


def _totals(e: Evidence) -> Iterator[str]:
    """The journal, the days, the usage events folded by id and the table: to the nano-dollar."""
    journal: Counter[str] = Counter()
    for call in e.journal:
        if call.outcome is None:
            yield f"call {call.id} of {call.request} is open in the journal"
        journal[call.book] += call.nano
    books = {"journal": journal, "daily_costs": e.days, "genai.usage": _by_id(e.usage), "table": e.table}
    if e.table is None:
        books["table"] = _by_number(e.usage)
    for key in sorted({key for book in books.values() for key in book or ()}):
        found = {name: (book or {}).get(key, 0) for name, book in books.items()}
        if len(set(found.values())) > 1:
            yield f"{key}: {found}"


def _by_id(usage: Sequence[Seen]) -> Book:
    return _sum({event["id"]: event for event in (orjson.loads(seen.value or b"null") for seen in usage)}.values())


def _by_number(usage: Sequence[Seen]) -> Book:
    """As the table folds: whatever is not above the last number of its partition is a repetition."""
    last: Counter[int] = Counter()
    counted = []
    for seen in sorted(usage, key=lambda one: (one.partition, one.offset)):
        number = int(seen.headers["genai-number"])
        if number > last[seen.partition]:
            last[seen.partition] = number
            counted.append(orjson.loads(seen.value or b"null"))
    return _sum(counted)


def _sum(events: Any) -> Book:
    book: Counter[str] = Counter()
    for event in events:
        key = "|".join((event["at"][:10], event["provider"], event["model"], event["tenant"]))
        book[key] += from_usd(event["cost_usd"]) or 0
    return book


def _numbered(e: Evidence) -> Iterator[str]:
    """In each partition of usage the numbers come in order and without a gap, repetitions aside."""
    last: Counter[int] = Counter()
    for seen in sorted(e.usage, key=lambda one: (one.partition, one.offset)):
        number = int(seen.headers["genai-number"])
        if number > last[seen.partition] + 1:
            yield f"usage {seen.partition}: {number} follows {last[seen.partition]}"
        last[seen.partition] = max(last[seen.partition], number)


def _slots(e: Evidence) -> Iterator[str]:
    """The double never saw more calls at once than there are slots."""
    if e.most_in_flight > e.slots:
        yield f"{e.most_in_flight} calls at once, {e.slots} slots"


def _order(e: Evidence) -> Iterator[str]:
    """Where order was asked, one after another: results by offset, and no call before the one ahead has ended.

    A request that failed and was sent again has another place in its line: its second generation is not looked at.
    """
    times: dict[str, list[Call]] = defaultdict(list)
    for call in e.journal:
        if call.generation == 1:
            times[call.request].append(call)
    at: dict[str, int] = {}
    for i, seen in enumerate(sorted(e.results, key=lambda one: (one.partition, one.offset))):
        result = orjson.loads(seen.value or b"null")
        if result["generation"] == 1 and not result["replayed"]:
            at.setdefault(result["id"], i)
    for key, ids in _lines(e).items():
        for ahead, behind in pairwise(ids):
            if at.get(behind, -1) < at.get(ahead, -1):
                yield f"{key!r}: {behind} was answered before {ahead}"
            ends = max((call.closed_at or 0.0 for call in times[ahead]), default=0.0)
            if any(call.opened_at < ends for call in times[behind]):
                yield f"{key!r}: {behind} was called before {ahead} had ended"


def _lines(e: Evidence) -> Mapping[tuple[str, int, bytes | None], list[str]]:
    lines: dict[tuple[str, int, bytes | None], list[str]] = defaultdict(list)
    for sent in sorted(e.sent, key=lambda one: one.offset):
        record = sent.record
        line = lines[record.topic, record.partition, record.key]
        if record.ordered and record.id not in line:
            line.append(record.id)
    return lines


INVARIANTS: Mapping[str, Callable[[Evidence], Iterator[str]]] = {
    "nothing is lost": _lost,
    "one terminal result each": _one_answer,
    "results stand where their requests stood": _in_place,
    "nothing is paid twice uncounted": _paid_once,
    "what was lost sight of was under way": _within_window,
    "the four totals agree": _totals,
    "usage is numbered without gaps": _numbered,
    "slots are never exceeded": _slots,
    "order is kept where it was asked": _order,
}
