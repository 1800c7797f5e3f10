"""Requests and results over Kafka: what is sent is joined with its result by identity.

Needs the extra `kafka`. A client reads all of `genai.results` and keeps what it waits for, so any number of them live beside each
other. `results(group)` reads them as a consumer group does, for whoever takes results that others asked for.
"""

import asyncio
import contextlib
import json
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, Unpack

import aiokafka
from aiokafka.errors import CommitFailedError, KafkaError

from genai_spine_client import calls, errors
from genai_spine_client.calls import Asking
from genai_spine_client.schemas.result import Result

REQUESTS, RESULTS = "genai.requests.", "genai.results"
_SUFFIX = {None: "", "normal": "", "realtime": ".realtime", "batch": ".batch"}
_REMEMBERED = 100_000
_LARGEST = 16 * 1024 * 1024

Identity = tuple[str, str, str]


class Fold:
    """The topic is at-least-once: of each (tenant, operation, id) the highest generation wins, and is told once. Remembers the
    last hundred thousand.
    """

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._seen: OrderedDict[Identity, int] = OrderedDict()
        self._remembered = remembered

    def is_new(self, result: Result) -> bool:
        """Generation 0 is about a record and not about its request, so it takes nothing's place."""
        if result.generation == 0:
            return True
        identity = (result.tenant, result.operation, result.id)
        had = self._seen.get(identity, 0)
        if result.generation <= had:
            return False
        self._seen[identity] = result.generation
        self._seen.move_to_end(identity)
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        return True


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that is in Kafka. Its result: `await sent.result(timeout=60)`."""

    id: str
    operation: str
    tenant: str
    future: asyncio.Future[Result]

    async def result(self, *, timeout: float | None = None) -> Result:
        """Whatever it says. Raises `TimedOut`, after which it can be waited for again; `Closed`, `Unreachable`."""
        done, _ = await asyncio.wait([self.future], timeout=timeout)
        if not done:
            raise errors.TimedOut(f"{self.operation} {self.id} has no result yet; it goes on.", request_id=self.id)
        return self.future.result()


@dataclass(slots=True)
class _Record:
    """A record whose result is waited for. `place`: topic, partition and offset; None: Kafka has not said them yet."""

    future: asyncio.Future[Result]
    place: tuple[str, int, int] | None = None
    early: list[Result] = field(default_factory=list)
    """About a record of this identity, when it was not known yet which one is ours."""

    def is_at(self, *place: Any) -> None:
        self.place = place
        for result in self.early:
            self.take(result)

    def take(self, result: Result) -> None:
        """Generation 0 is about one record: of another producer's, with the same id, it says nothing of ours."""
        source = result.source
        if result.generation == 0 and self.place is None:
            self.early.append(result)
        elif result.generation == 0 and (
            source is None or (source.topic, source.partition, source.offset) != self.place
        ):
            return
        elif not self.future.done():
            self.future.set_result(result)


class KafkaClient:
    """`tenant`: whose requests these are, unless one says otherwise; it is always said, since two tenants may use one id.
    `connection`: what aiokafka takes for TLS and users.

    Close it, or use it as a context. Whoever waits when it closes is told `Closed`; what was sent goes on.
    """

    def __init__(self, bootstrap: str, *, tenant: str = "default", **connection: Any) -> None:
        self._bootstrap, self._tenant, self._connection = bootstrap, tenant, connection
        self._waiting: dict[Identity, list[_Record]] = {}
        self._producer: aiokafka.AIOKafkaProducer | None = None
        self._consumer: aiokafka.AIOKafkaConsumer | None = None
        self._reader: asyncio.Task[None] | None = None
        self._known: set[str] = set()

    async def start(self) -> None:
        """Connects, and stands at the end of the results before anything is asked. Raises `Unreachable`."""
        common = {"bootstrap_servers": self._bootstrap, **self._connection}
        self._producer = aiokafka.AIOKafkaProducer(
            enable_idempotence=True, acks="all", max_request_size=_LARGEST, **common
        )
        # a partition that is added later is read from its beginning, so that nothing in it is missed
        consumer = aiokafka.AIOKafkaConsumer(
            RESULTS, auto_offset_reset="earliest", max_partition_fetch_bytes=_LARGEST, **common
        )
        try:
            await self._producer.start()
            await self._know(RESULTS)
            self._consumer = consumer
            await consumer.start()
            await consumer.seek_to_end()
            for partition in consumer.assignment():
                await consumer.position(partition)  # an end is looked up only when somebody asks
        except KafkaError as error:
            await self.close()
            raise errors.Unreachable(f"No Kafka at {self._bootstrap}: {error}", sent=False) from error
        except errors.GenAIError:
            await self.close()
            raise
        self._reader = asyncio.create_task(self._read(consumer), name="genai results")

    async def send(
        self,
        operation: str,
        input: Mapping[str, Any],  # noqa: A002 - the contract's word
        *,
        key: bytes | str | None = None,
        headers: Mapping[str, bytes] | None = None,
        **asking: Unpack[Asking],
    ) -> Sent:
        """Into `genai.requests.<operation>[.lane]`, acknowledged by Kafka. `key` is the join key of others; else it is the id."""
        if self._producer is None or self._reader is None:
            raise errors.Closed("This client is not started; use `async with KafkaClient(…)`.")
        record = calls.record(input, {"tenant": self._tenant, **asking})
        topic = f"{REQUESTS}{operation}{_SUFFIX[asking.get('lane')]}"
        await self._know(topic)
        sent, waiting = self._expect(operation, record["id"], record["tenant"])
        raw = key.encode() if isinstance(key, str) else key
        try:
            kept = await self._producer.send_and_wait(
                topic,
                json.dumps(record, ensure_ascii=False).encode(),
                key=sent.id.encode() if raw is None else raw,
                headers=list((headers or {}).items()),
            )
        except KafkaError as error:
            self._forget(sent)
            raise errors.Unreachable(f"{topic} did not take {sent.id}: {error}", sent=True) from error
        except asyncio.CancelledError:
            self._forget(sent)
            raise
        waiting.is_at(kept.topic, kept.partition, kept.offset)
        if sent.future.done():
            self._forget(sent)
        return sent

    async def ask(
        self,
        operation: str,
        input: Mapping[str, Any],  # noqa: A002 - the contract's word
        *,
        key: bytes | str | None = None,
        **asking: Unpack[Asking],
    ) -> Result:
        """Sent, and waited for `timeout` seconds. Raises `NoAnswer` where it ended without one."""
        timeout = asking.get("timeout")
        sent = await self.send(operation, input, key=key, **asking)
        try:
            result = await sent.result(timeout=timeout)
        finally:
            self._forget(sent)
        ended = errors.of_result(result)
        if ended is not None:
            raise ended
        return result

    async def results(self, group: str, *, from_start: bool = False) -> AsyncGenerator[Result, None]:
        """Everybody's results as a member of a consumer group: each is told by one member, folded, and marked as read when the next
        page is asked for, so that a crash tells it again.
        """
        consumer = aiokafka.AIOKafkaConsumer(
            RESULTS,
            bootstrap_servers=self._bootstrap,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest" if from_start else "latest",
            max_partition_fetch_bytes=_LARGEST,
            **self._connection,
        )
        fold = Fold()
        try:
            await consumer.start()
            while True:
                page = await consumer.getmany(timeout_ms=1000)
                for records in page.values():
                    for record in records:
                        result = _result(record.value)
                        if result is not None and fold.is_new(result):
                            yield result
                if page:
                    with contextlib.suppress(CommitFailedError):  # another member has them now, and tells them again
                        await consumer.commit()
        except KafkaError as error:
            raise errors.Unreachable(f"Results cannot be read at {self._bootstrap}: {error}", sent=False) from error
        finally:
            await consumer.stop()

    async def close(self) -> None:
        """What was sent goes on; whoever waits is told."""
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
            self._reader = None
        self._fail(errors.Closed("The client was closed before the result came; the request goes on."))
        for part in (self._producer, self._consumer):
            if part is not None:
                await part.stop()
        self._producer = self._consumer = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _know(self, topic: str) -> None:
        """Raises `Unreachable` for a topic that is not there: a producer would wait for it to come, for most of a minute."""
        if topic in self._known or self._producer is None:
            return
        self._known = set((await self._producer.client.fetch_all_metadata()).topics())
        if topic not in self._known:
            there = sorted(name for name in self._known if name.startswith(REQUESTS) and name.count(".") == 2)
            words = ", ".join(name.removeprefix(REQUESTS) for name in there) or "none: `genai-spine topics create`"
            raise errors.Unreachable(f"There is no topic {topic}; operations there are {words}.", sent=False)

    async def _read(self, consumer: Any) -> None:
        try:
            while True:
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    for record in records:
                        self._take(record.value)
        except KafkaError as error:
            self._reader = None
            self._fail(errors.Unreachable(f"Results cannot be read any more: {error}", sent=True))

    def _take(self, value: bytes | None) -> None:
        """The first result of a record that is waited for; later ones of the same are told to nobody."""
        result = _result(value)
        if result is None:
            return
        whose = (result.tenant, result.operation, result.id)
        for record in self._waiting.get(whose, ()):
            record.take(result)
        self._keep(whose, [record for record in self._waiting.get(whose, ()) if not record.future.done()])

    def _expect(self, operation: str, id_: str, tenant: str) -> tuple[Sent, _Record]:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_looked_at)
        record = _Record(future)
        self._waiting.setdefault((tenant, operation, id_), []).append(record)
        return Sent(id_, operation, tenant, future), record

    def _forget(self, sent: Sent) -> None:
        whose = (sent.tenant, sent.operation, sent.id)
        self._keep(whose, [record for record in self._waiting.get(whose, ()) if record.future is not sent.future])

    def _keep(self, whose: Identity, left: list[_Record]) -> None:
        if left:
            self._waiting[whose] = left
        else:
            self._waiting.pop(whose, None)

    def _fail(self, error: errors.GenAIError) -> None:
        waiting, self._waiting = self._waiting, {}
        for records in waiting.values():
            for record in records:
                if not record.future.done():
                    record.future.set_exception(error)


def _looked_at(future: asyncio.Future[Result]) -> None:
    """A failure that nobody waits for is no defect."""
    if not future.cancelled():
        future.exception()


def _result(value: bytes | None) -> Result | None:
    """None: no result; a newer server may write what this client cannot read."""
    try:
        return Result.model_validate(errors.known(json.loads(value or b"")))
    except ValueError:
        return None
