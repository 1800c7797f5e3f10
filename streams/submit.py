"""Requests to their topics, and their results back by identity."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiokafka
import orjson
from aiokafka.errors import KafkaConnectionError, KafkaError

from schemas.request import Lane
from streams import reading, security, topics
from streams.errors import SpineError
from streams.settings import Settings
from streams.topics_admin import Unreachable

if TYPE_CHECKING:
    from streams.given import Line

Identity = tuple[str, str, str]
"""(tenant, operation, id)."""

_AT_ONCE = 2000


@dataclass
class Sent:
    """Whose results are to be waited for, and where the results topic ended before the first was sent."""

    identities: dict[Identity, str] = field(default_factory=dict)
    """Each with its place in what was given; two equal items are one."""
    starts: dict[int, int] = field(default_factory=dict)
    places: dict[tuple[str, int], set[int]] = field(default_factory=dict)
    """Offsets of the records, by topic and partition."""
    records: int = 0

    def is_answered_by(self, result: Mapping[str, Any]) -> bool:
        """One of generation 0 is about a record and not about its request: another producer's, of the same identity, says nothing
        of ours. Any other is the request's; what payload it had, a result does not say.
        """
        whose, source = (result["tenant"], result["operation"], result["id"]), result["source"]
        if whose not in self.identities or result["generation"] > 0:
            return whose in self.identities
        return source is not None and source["offset"] in self.places.get((source["topic"], source["partition"]), ())


def identity(settings: Settings, line: "Line", lane: Lane) -> Identity:
    """As the ledger will know it."""
    topic = topics.request_topic(line.operation, lane)
    return line.tenant or settings.tenants.get(topic, settings.default_tenant), line.operation, line.id


async def send(
    settings: Settings, bootstrap: str, lines: "Iterable[Line]", lane: Lane, sent: Sent | None = None
) -> Sent:
    """All of them, gathered; returned means that Kafka has every one. `sent` is filled as it goes. Raises SpineError."""
    sent = sent or Sent()
    sent.starts = await reading.ends(bootstrap, topics.RESULTS)
    there = await topics.list_topics(bootstrap)
    async with _producer(bootstrap, settings) as producer:
        waiting: list[Line] = []
        for line in lines:
            topic = topics.request_topic(line.operation, lane)
            if topic not in there:
                raise SpineError(f"There is no topic {topic}. Start a worker, or run `genai-spine topics create`.")
            waiting.append(line)
            if len(waiting) >= _AT_ONCE:
                await _send(producer, settings, waiting, lane, sent)
                waiting = []
        await _send(producer, settings, waiting, lane, sent)
    return sent


@contextlib.asynccontextmanager
async def _producer(bootstrap: str, settings: Settings) -> AsyncIterator[Any]:
    made = aiokafka.AIOKafkaProducer(
        **security.client(bootstrap),
        enable_idempotence=True,
        acks="all",
        max_request_size=settings.request_max_bytes + 65_536,
    )
    try:
        await made.start()
        yield made
    except KafkaError as error:
        if isinstance(error, KafkaConnectionError) and (why := await security.refusal(bootstrap)) is not None:
            raise why from error
        raise Unreachable(
            f"Kafka at {bootstrap} did not take the records ({error}). Some may be there: sending the same again costs "
            "nothing."
        ) from error
    finally:
        await made.stop()


async def _send(producer: Any, settings: Settings, lines: "list[Line]", lane: Lane, sent: Sent) -> None:
    futures = [
        await producer.send(topics.request_topic(line.operation, lane), line.value, key=line.id.encode())
        for line in lines
    ]
    for kept in await asyncio.gather(*futures):
        sent.places.setdefault((kept.topic, kept.partition), set()).add(kept.offset)
    sent.records += len(lines)
    for line in lines:
        sent.identities.setdefault(identity(settings, line, lane), line.where)


async def results(bootstrap: str, sent: Sent, timeout_s: float = 0.0) -> AsyncIterator[dict[str, Any]]:
    """The result of each identity as it comes, once; ends when all are there, or after `timeout_s` (0: never)."""
    left = set(sent.identities)
    until = time.monotonic() + timeout_s
    if not left:
        return
    async with contextlib.aclosing(reading.following(bootstrap, topics.RESULTS, sent.starts)) as records:  # type: ignore[type-var]
        async for record in records:
            if timeout_s and time.monotonic() > until:
                return
            if record is None or record.value is None:
                continue
            result = orjson.loads(record.value)
            whose = (result["tenant"], result["operation"], result["id"])
            if whose in left and sent.is_answered_by(result):
                left.discard(whose)
                yield result
                if not left:
                    return
