"""JSON Lines to request topics, and their results back by identity."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiokafka
import orjson
from aiokafka.errors import KafkaConnectionError, KafkaError

from schemas.request import Lane
from streams import reading, security, topics
from streams.decode import envelope
from streams.errors import SpineError
from streams.settings import Settings
from streams.topics_admin import Unreachable

Identity = tuple[str, str, str]
"""(tenant, operation, id)."""

_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Line:
    """One request, ready to be sent."""

    number: int
    operation: str
    tenant: str | None
    id: str | None
    value: bytes


@dataclass(frozen=True, slots=True)
class Bad:
    """A line that is no request, and why; lines count from 1."""

    number: int
    why: str


@dataclass
class Sent:
    """What was sent, by line number, and where the results topic ended before that."""

    identities: dict[int, Identity] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)


def parse(
    lines: Iterable[bytes], operations: Collection[str], otherwise: str | None, most: int
) -> Iterator[Line | Bad]:
    """Blank lines are skipped. A line is the record itself, or flat as over HTTP; its `operation` goes first."""
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        try:
            yield _line(number, raw, operations, otherwise, most)
        except ValueError as error:
            yield Bad(number, str(error))


def _line(number: int, raw: bytes, operations: Collection[str], otherwise: str | None, most: int) -> Line:
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"is not JSON ({error})") from None
    if not isinstance(fields, dict):
        raise ValueError('is no JSON object; write {"operation": …, "input": {…}}')  # noqa: TRY004 - one kind for all
    named = fields.pop("operation", None) or otherwise
    if not isinstance(named, str):
        raise ValueError("names no operation; add one to the line, or give --operation")  # noqa: TRY004
    operation = named.replace("-", "_")
    if operation not in operations:
        raise ValueError(f"names the operation {operation!r}; there are {', '.join(sorted(operations))}")
    record = envelope(fields)
    value = orjson.dumps(record)
    if len(value) > most:
        raise ValueError(f"has {len(value)} bytes; at most {most} fit into its topic (GENAI_REQUEST_MAX_BYTES)")
    return Line(number, operation, _text(record.get("tenant")), _text(record.get("id")), value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


async def send(settings: Settings, bootstrap: str, lines: Iterable[Line], lane: Lane) -> Sent:
    """All of them, gathered; returned means that Kafka has every one. Raises SpineError."""
    sent = Sent(starts=await reading.ends(bootstrap, topics.RESULTS))
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
            f"Kafka at {bootstrap} did not take the records ({error}). Some may be there: sending records with ids again "
            "costs nothing."
        ) from error
    finally:
        await made.stop()


async def _send(producer: Any, settings: Settings, lines: list[Line], lane: Lane, sent: Sent) -> None:
    futures = [
        await producer.send(
            topics.request_topic(line.operation, lane), line.value, key=line.id.encode() if line.id else None
        )
        for line in lines
    ]
    for line, found in zip(lines, await asyncio.gather(*futures), strict=True):
        place = f"{found.topic}/{found.partition}/{found.offset}/{found.timestamp}"
        tenant = line.tenant or settings.tenants.get(found.topic, settings.default_tenant)
        sent.identities[line.number] = (tenant, line.operation, line.id or place)


async def results(
    bootstrap: str, wanted: Collection[Identity], starts: Mapping[int, int], timeout_s: float = 0.0
) -> AsyncIterator[dict[str, Any]]:
    """The result of each identity as it comes, once; ends when all are there, or after `timeout_s` (0: never)."""
    left = set(wanted)
    until = time.monotonic() + timeout_s
    if not left:
        return
    async with contextlib.aclosing(reading.following(bootstrap, topics.RESULTS, starts)) as records:  # type: ignore[type-var]
        async for record in records:
            if timeout_s and time.monotonic() > until:
                return
            if record is None or record.value is None:
                continue
            result = orjson.loads(record.value)
            identity = (result["tenant"], result["operation"], result["id"])
            if identity in left:
                left.discard(identity)
                yield result
                if not left:
                    return
