"""Four books of the same money, held against each other.

`daily_costs` (SQL, added up in each answer's own transaction), the journal (SQL, every call), the usage topic folded by id,
and the Faust table behind `genai.costs.daily`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import orjson

from schemas.money import from_usd
from store.ledger import queries
from streams import lookup, reading, topics
from streams.reading import Record
from streams.settings import Settings

Book = dict[str, int]
"""`date|provider|model|tenant` to nano-dollars."""

SQL, JOURNAL, USAGE, TABLE = "daily_costs", "journal", "usage", "table"


async def audit(settings: Settings, bootstrap: str) -> dict[str, Book]:
    """Each book as it is now; the topics up to the ends that they have at the beginning. Empty sums are left out."""
    async with lookup.opened(settings) as database:
        days = await database.read(lambda conn: queries.days(conn, "0000-00-00", "9999-99-99"))
        journal = await database.read(queries.journal_by_day)
    books = {
        SQL: {"|".join((row.date, row.provider, row.model, row.tenant)): int(row.cost_nano) for row in days},
        JOURNAL: {"|".join(key): nano for key, nano in journal.items()},
        USAGE: folded(await reading.whole(bootstrap, topics.USAGE)),
        TABLE: latest(await reading.whole(bootstrap, topics.COSTS)),
    }
    return {name: {key: nano for key, nano in book.items() if nano} for name, book in books.items()}


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


def differences(books: Mapping[str, Book]) -> list[str]:
    """A sentence per key on which the books do not agree; none when all is well."""
    told = []
    for key in sorted({key for book in books.values() for key in book}):
        found = {name: book.get(key, 0) for name, book in books.items()}
        if len(set(found.values())) > 1:
            told.append(f"{key}: " + ", ".join(f"{name} {nano} nano-dollars" for name, nano in found.items()))
    return told
