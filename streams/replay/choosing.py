"""What was asked for on the command line, as the ledger takes it. Whatever is wrong is one sentence, before anything is done."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path

from sqlalchemy import Connection

from schemas.money import to_nano
from schemas.request import REPLAYS
from store.ledger import chosen, queries
from store.ledger.chosen import Chosen, Range, Standing
from streams import requested, topics
from streams.errors import Exit, SpineError
from streams.finding import named
from streams.settings import Settings
from streams.submit import Identity

_NAMED = 5
MOST_OFFSET = 2**63 - 1


@dataclass(frozen=True)
class Told:
    """The options that choose, as they were written."""

    first: str | None = None
    last: str | None = None
    topic: str | None = None
    partition: int | None = None
    from_offset: int | None = None
    to_offset: int | None = None
    ids: tuple[str, ...] = ()
    status: str | None = None
    operation: str | None = None
    tenant: str | None = None
    run: str | None = None


def usage(words: str) -> SpineError:
    """Wrong usage."""
    return SpineError(words, exit_code=Exit.USAGE)


def chosen_by(told: Told, operations: Collection[str]) -> Chosen:
    """All but ids, offsets and dead letters, which the ledger has to be asked about. Raises SpineError."""
    filters = {"state": told.status, "operation": told.operation, "tenant": told.tenant, "run_id": told.run}
    try:
        found = requested.wanted(filters | {"from": told.first, "to": told.last})
    except ValueError as error:
        words = str(error).replace("state=", "status=", 1)
        raise usage(words) from None
    if running := sorted(set(found.states) - set(requested.FINISHED)):
        words = f"Only what has ended can be replayed, and {', '.join(running)} has not"
        raise usage(f"{words}; choose some of {', '.join(requested.FINISHED)}.")
    if found.operation is not None and found.operation not in operations:
        raise usage(f"There is no operation {found.operation!r}; there are {', '.join(sorted(operations))}.")
    return Chosen(found.states, found.operation, found.tenant, found.run_id, found.since, found.until)


def range_of(told: Told, operations: Collection[str]) -> Range | None:
    """The offsets asked for; None: offsets do not matter. Raises SpineError."""
    narrower = (told.partition, told.from_offset, told.to_offset)
    if told.topic is None:
        if any(each is not None for each in narrower):
            raise usage("--partition, --from-offset and --to-offset need --topic.")
        return None
    try:
        operation, _ = topics.parse_request_topic(told.topic)
    except ValueError as error:
        raise usage(f"{error}.") from None
    if operation not in operations:
        raise usage(f"There is no topic {told.topic}; operations are {', '.join(sorted(operations))}.")
    if told.partition is None and (told.from_offset is not None or told.to_offset is not None):
        raise usage("--from-offset and --to-offset need --partition: each partition counts its own.")
    numbers = {"--partition": told.partition, "--from-offset": told.from_offset, "--to-offset": told.to_offset}
    for name, value in numbers.items():
        if value is not None and not 0 <= value <= MOST_OFFSET:
            raise usage(f"{name} {value} is none; write a whole number from 0 on.")
    first, last = told.from_offset or 0, told.to_offset
    if last is not None and first > last:
        raise usage(f"--from-offset {first} is after --to-offset {last}; exchange them (both are included).")
    return Range(told.topic, told.partition, told.from_offset, last)


def stood_there(wanted: Range, found: Standing) -> str:
    """A word on what is missing of a range; empty when nothing is. Raises SpineError where the range cannot be meant."""
    if not found.read_to or (wanted.partition is None and not found.records):
        raise SpineError(f"This ledger has read nothing of {wanted.topic}, or what it had read is pruned.")
    if wanted.partition is None:
        return ""
    if wanted.partition not in found.read_to:
        there = ", ".join(map(str, sorted(found.read_to)))
        raise usage(
            f"This ledger has read nothing of partition {wanted.partition} of {wanted.topic}; of {there} it has."
        )
    end = found.read_to[wanted.partition]
    first, last = wanted.first or 0, end - 1 if wanted.last is None else min(wanted.last, end - 1)
    place = f"{wanted.topic}/{wanted.partition}"
    if first >= end:
        raise SpineError(
            f"Nothing was read from offset {first} of {place} on: the ledger has read to offset {end - 1}."
        )
    missing = last - first + 1 - found.records
    if not found.records:
        words = f"The ledger remembers nothing of offsets {first} to {last} of {place}"
        raise SpineError(f"{words}: that was pruned, or deleted by the topic's retention before anybody read it.")
    if missing <= 0:
        return ""
    return f"The ledger remembers {found.records} of the {last - first + 1} offsets from {first} to {last} of {place}."


def ids_of(listed: Sequence[str], file: Path | None) -> tuple[str, ...]:
    """Those named, and those of a file with one in a line. Raises SpineError."""
    found = list(listed)
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise usage(f"Cannot read ids from {file} ({error}). Write one id a line, in UTF-8.") from None
        found += [line.strip() for line in lines if line.strip()]
        if not found:
            raise usage(f"There is no id in {file}; write one a line.")
    for each in found:
        try:
            requested.named("id", each)
        except ValueError as error:
            raise usage(str(error)) from None
    return tuple(dict.fromkeys(found))


def with_ids(conn: Connection, settings: Settings, wanted: Chosen, ids: Sequence[str]) -> Chosen:
    """Only these, of whatever tenant and operation they are, where none is said. Raises SpineError."""
    pks: set[int] = set()
    unknown = []
    for each in ids:
        rows = named(conn, settings, each, wanted.tenant, wanted.operation)
        pks.update(row.pk for row in rows)
        if not rows:
            unknown.append(each)
    if unknown:
        some = ", ".join(map(repr, unknown[:_NAMED])) + (", …" if len(unknown) > _NAMED else "")
        raise SpineError(f"No request has the id {some}. Is its tenant a rare one? Then add --tenant.")
    return only(wanted, pks)


def with_identities(conn: Connection, wanted: Chosen, found: Collection[Identity]) -> Chosen:
    """Only these."""
    return only(wanted, queries.keys_of(conn, found))


def only(wanted: Chosen, pks: Collection[int]) -> Chosen:
    """Those chosen already that are among these."""
    kept = set(pks) if wanted.pks is None else set(pks) & set(wanted.pks)
    return replace(wanted, pks=tuple(sorted(kept)))


def with_range(conn: Connection, wanted: Chosen, at: Range) -> tuple[Chosen, str]:
    """Only what stood there; and a word on what is missing. Raises SpineError."""
    found = chosen.standing_at(conn, at)
    words = stood_there(at, found)
    return only(wanted, found.pks), words


def budget(text: str) -> int:
    """Dollars as nano-dollars. Raises SpineError."""
    try:
        dollars = Decimal(text)
    except InvalidOperation:
        raise usage(f"--budget {text!r} is no number of dollars; write it like 2.50.") from None
    if not dollars.is_finite() or dollars < 0:
        raise usage(f"--budget {text} is none; write dollars from 0 on, like 2.50.")
    if dollars > 10**9:
        raise usage(f"--budget {text} is more than a thousand million dollars; write what may be spent.")
    return to_nano(dollars)


def run_name(text: str) -> str:
    """A run as it is printed, or without the word before it."""
    return text if text.startswith(REPLAYS) else f"{REPLAYS}{text}"
