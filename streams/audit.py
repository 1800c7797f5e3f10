"""Four books of the same money, held against each other.

`daily_costs` (SQL, added up in each answer's own transaction), the journal (SQL, every call), the usage topic folded by id,
and the Faust table behind `genai.costs.daily`. Old calls are pruned and old events retained no longer: a book is asked only about
the days that it has whole.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import orjson

from schemas.money import from_usd
from store.ledger import queries, room
from streams import lookup, reading, topics
from streams.reading import Record
from streams.settings import Settings

Book = dict[str, int]
"""`date|provider|model|tenant` to nano-dollars."""

SQL, JOURNAL, USAGE, TABLE = "daily_costs", "journal", "usage", "table"


@dataclass(frozen=True, slots=True)
class Audit:
    """Each book, and the first UTC day that it has whole, where days before are no longer kept."""

    books: Mapping[str, Book]
    whole_from: Mapping[str, str] = field(default_factory=dict)


async def audit(settings: Settings, bootstrap: str) -> Audit:
    """Each book as it is now; the topics up to the ends that they have at the beginning. Empty sums are left out."""
    async with lookup.opened(settings) as database:
        days = await database.read(lambda conn: queries.days(conn, "0000-00-00", "9999-99-99"))
        journal = await database.read(queries.journal_by_day)
        marks = await database.read(room.marks)
    begins, usage = await reading.begins(bootstrap, topics.USAGE), await reading.whole(bootstrap, topics.USAGE)
    books = {
        SQL: {"|".join((row.date, row.provider, row.model, row.tenant)): int(row.cost_nano) for row in days},
        JOURNAL: {"|".join(key): nano for key, nano in journal.items()},
        USAGE: folded(usage),
        TABLE: latest(await reading.whole(bootstrap, topics.COSTS)),
    }
    whole = {USAGE: retained_from(begins, usage, datetime.now(UTC).date())}
    if "journal" in marks:
        whole[JOURNAL] = str(datetime.fromtimestamp(marks["journal"], UTC).date())
    found = {name: {key: nano for key, nano in book.items() if nano} for name, book in books.items()}
    return Audit(found, {name: day for name, day in whole.items() if day})


def retained_from(begins: Mapping[int, int], records: Iterable[Record], today: date) -> str:
    """The first day of which no event has gone with the topic's retention; empty: none has gone at all."""
    cut = {partition for partition, offset in begins.items() if offset > 0}
    first: dict[int, date] = {}
    for record in records:
        if record.partition in cut and record.value is not None:
            day = date.fromisoformat(orjson.loads(record.value)["at"][:10])
            first[record.partition] = min(day, first.get(record.partition, day))
    return str(max(first.get(partition, today) for partition in cut) + timedelta(days=1)) if cut else ""


def folded(records: Iterable[Record]) -> Book:
    """Usage events, each id once."""
    seen: set[str] = set()
    book: defaultdict[str, int] = defaultdict(int)
    for record in records:
        if record.value is None:
            continue
        event = orjson.loads(record.value)
        if event["id"] not in seen:
            seen.add(event["id"])
            key = "|".join((event["at"][:10], event["provider"], event["model"], event["tenant"]))
            book[key] += from_usd(event["cost_usd"]) or 0
    return dict(book)


def latest(records: Iterable[Record]) -> Book:
    """The table's last word on each key; a key stands in one partition, as long as the topic is not widened."""
    last: dict[tuple[int, bytes], bytes | None] = {}
    for record in sorted(records, key=lambda found: (found.partition, found.offset)):
        last[record.partition, record.key or b""] = record.value
    book: defaultdict[str, int] = defaultdict(int)
    for (_, key), value in last.items():
        if value is not None:
            book[key.decode()] += from_usd(orjson.loads(value)["cost_usd"]) or 0
    return dict(book)


def differences(audit: Audit) -> list[str]:
    """A sentence per key on which the books that have its day do not agree; none when all is well."""
    told = []
    for key in sorted({key for book in audit.books.values() for key in book}):
        day = key.partition("|")[0]
        asked = {name: book for name, book in audit.books.items() if audit.whole_from.get(name, "") <= day}
        found = {name: book.get(key, 0) for name, book in asked.items()}
        if len(set(found.values())) > 1:
            told.append(f"{key}: " + ", ".join(f"{name} {nano} nano-dollars" for name, nano in found.items()))
    return told
