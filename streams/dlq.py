"""Dead letters: listed, shown, and sent back where they came from."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import aiokafka

from streams import reading, security, topics
from streams.errors import SpineError
from streams.reading import Record
from streams.redact import Redactor
from streams.settings import Settings
from streams.submit import Identity

SAID = frozenset(
    {"genai-error-type", "genai-error", "genai-source", "genai-attempts", "genai-failed-at", "x-original-topic"}
)
"""Headers that say why it is dead; a replayed record does not carry them on."""


class NoSuchLetter(SpineError):
    """No dead letter stands at that place; `genai-spine dlq list` shows those that there are."""


@dataclass(frozen=True)
class Letter:
    """One dead letter."""

    record: Record

    @property
    def place(self) -> str:
        return f"{self.record.partition}/{self.record.offset}"

    def header(self, name: str) -> str:
        """The last header of that name; empty when it has none."""
        found = [value for key, value in self.record.headers if key == name]
        return found[-1].decode(errors="replace") if found else ""

    @property
    def identity(self) -> Identity | None:
        """Whose request it was; None: nobody could read that."""
        try:
            operation, _ = topics.parse_request_topic(target(self))
        except (SpineError, ValueError):
            return None
        tenant, id_ = self.header("genai-tenant"), self.header("genai-id")
        return (tenant, operation, id_) if tenant and id_ else None

    def as_json(self) -> dict[str, Any]:
        """For `--json`; the value as text, since most are JSON."""
        value = self.record.value
        return {
            "place": self.place,
            "id": self.header("genai-id") or None,
            "tenant": self.header("genai-tenant") or None,
            "error_type": self.header("genai-error-type"),
            "error": self.header("genai-error"),
            "source": self.header("genai-source"),
            "attempts": self.header("genai-attempts"),
            "failed_at": self.header("genai-failed-at"),
            "key": None if self.record.key is None else self.record.key.decode(errors="replace"),
            "value": None if value is None else value.decode(errors="replace"),
        }


def masked(letter: Letter, redactor: Redactor) -> Letter:
    """The letter as it may be shown; the one in the topic, which a replay sends, is untouched."""
    record = letter.record
    return Letter(
        replace(
            record,
            key=None if record.key is None else redactor.record(record.key),
            value=None if record.value is None else redactor.record(record.value),
            headers=tuple((name, _header(redactor, name, value)) for name, value in record.headers),
        )
    )


def _header(redactor: Redactor, name: str, value: bytes) -> bytes:
    return str(redactor.field(name, value.decode(errors="replace"))).encode()


Now = Literal["open", "answered", "under way", "newer"]
"""What became of a letter's request: nothing yet; it has succeeded since; it runs again; it died again, as a newer letter."""

_UNDER_WAY = frozenset({"waiting", "leased", "calling", "held"})


def became(all_: Sequence[Letter], states: Mapping[Identity, str]) -> dict[str, Now]:
    """Place to what became of it, from the oldest letter to the newest. `states`: what the ledger says of each request."""
    newest = {letter.identity: letter.place for letter in all_ if letter.identity}
    return {letter.place: _became(letter, newest, states) for letter in all_}


def _became(letter: Letter, newest: Mapping[Identity, str], states: Mapping[Identity, str]) -> Now:
    whose = letter.identity
    if whose is None:
        return "open"
    if newest[whose] != letter.place:
        return "newer"
    state = states.get(whose, "")
    return "answered" if state == "succeeded" else "under way" if state in _UNDER_WAY else "open"


async def states(settings: Settings, all_: Sequence[Letter]) -> dict[Identity, str]:
    """The ledger's state of each letter's request. Raises SpineError, StoreError when there is no ledger to ask."""
    from store.ledger import queries
    from streams import lookup, postgres

    if settings.database_url == postgres.EMBEDDED and not postgres.is_running(settings):
        raise SpineError("The packaged PostgreSQL does not run.")
    wanted = {letter.identity for letter in all_ if letter.identity}
    chosen = await asyncio.to_thread(postgres.resolved, settings)
    async with lookup.opened(chosen) as database:
        return await database.read(lambda conn: queries.states_of(conn, wanted))


async def letters(bootstrap: str) -> list[Letter]:
    """All that the topic still holds, oldest first."""
    found = [Letter(record) for record in await reading.whole(bootstrap, topics.DLQ)]
    return sorted(found, key=lambda letter: (letter.record.timestamp, letter.record.partition, letter.record.offset))


def chosen(all_: Sequence[Letter], places: Collection[str]) -> list[Letter]:
    """Those at these places. Raises NoSuchLetter."""
    by_place = {letter.place: letter for letter in all_}
    missing = [place for place in places if place not in by_place]
    if missing:
        raise NoSuchLetter(
            f"No dead letter stands at {', '.join(missing)}; write PARTITION/OFFSET as `genai-spine dlq list` shows it."
        )
    return [by_place[place] for place in places]


def target(letter: Letter) -> str:
    """The request topic that it came from; what came over HTTP goes to its operation's. Raises SpineError."""
    source, _, rest = letter.header("genai-source").partition("/")
    name = topics.request_topic(rest.partition("/")[0]) if source == "http" else source
    try:
        topics.parse_request_topic(name)
    except ValueError:
        raise SpineError(
            f"The dead letter {letter.place} does not say where it came from (genai-source: {source!r}); send it with a "
            "console producer to the topic that you know."
        ) from None
    return name


async def replay(settings: Settings, bootstrap: str, wanted: Sequence[Letter]) -> list[tuple[Letter, str]]:
    """Send the untouched records back, with their own headers and identity; returned means that Kafka has them."""
    plan = [(letter, target(letter)) for letter in wanted]
    known = await topics.list_topics(bootstrap)
    missing = sorted({topic for _, topic in plan if topic not in known})
    if missing:
        raise SpineError(f"There is no topic {', '.join(missing)}. Run `genai-spine topics create` first.")
    producer = aiokafka.AIOKafkaProducer(
        **security.client(bootstrap),
        enable_idempotence=True,
        acks="all",
        max_request_size=settings.request_max_bytes + 131_072,
    )
    await producer.start()
    try:
        futures = [
            await producer.send(
                topic,
                letter.record.value,
                key=letter.record.key,
                headers=[(name, value) for name, value in letter.record.headers if name not in SAID],
            )
            for letter, topic in plan
        ]
        await asyncio.gather(*futures)
    finally:
        await producer.stop()
    return plan
