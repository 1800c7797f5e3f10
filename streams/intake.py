"""Records to rows: take whatever is waiting, commit it with full durability, then ack in order at once.

An offset never waits for an LLM. When a lane has more than it may hold, its partitions are paused, never its agent:
Faust's one delivering loop waits on a full channel, and all other lanes with it.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from agents.engine.engine import Engine
from schemas.errors import ErrorType, Failure
from schemas.request import LANE_NAMES, Lane
from store import killpoint
from store.database import Database
from store.errors import StoreError
from store.ledger import progress, queries
from store.ledger.types.arrivals import Arrival, Ask, Unreadable
from store.ledger.types.records import Position
from store.ledger.writer import Writer
from store.rows import pack_headers
from streams import topics
from streams.consumer import SpineConsumer
from streams.decode import Decoder, cancel
from streams.kafka import SpineApp
from streams.prompting.registry import Registry

log = structlog.get_logger(__name__)

MAX_TAKE, MAX_TAKE_OF_BATCH = 100, 25
"""Records to a transaction; what is urgent waits for one that is under way, so that batch has short ones."""
_YIELD_EVERY = 25
_RETRY_S = 1.0


@dataclass
class LaneState:
    """What a lane holds between Kafka and the ledger, and whether it is held back."""

    name: str
    topics: tuple[str, ...]
    events: deque[Any] = field(default_factory=deque)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    most: int = MAX_TAKE
    held: bool = False
    in_ledger: int = 0
    oldest_s: float = 0.0
    taken: int = 0


class Intake:
    """One Faust agent per lane and one for cancels, each feeding a loop that writes batches."""

    def __init__(
        self,
        app: SpineApp,
        decoder: Decoder,
        writer: Writer,
        database: Database,
        engine: Engine,
        registry: Registry,
        *,
        window: int,
        ledger_window: int,
    ) -> None:
        self.app, self.decoder, self.writer, self.database, self.engine = app, decoder, writer, database, engine
        self.registry = registry
        self.window, self.ledger_window = window, ledger_window
        self.lanes = [
            LaneState(
                LANE_NAMES[lane],
                tuple(topics.request_topic(name, lane) for name in sorted(decoder.operations)),
                most=MAX_TAKE_OF_BATCH if lane is Lane.BATCH else MAX_TAKE,
            )
            for lane in Lane
        ]
        self.control = LaneState("control", (topics.CONTROL,))
        self._tasks: list[asyncio.Task[None]] = []
        for state in (*self.lanes, self.control):
            self._agent(state)

    def _agent(self, state: LaneState) -> None:
        channel = self.app.topic(
            *state.topics,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            allow_empty=True,
        )

        async def take(stream: Any) -> None:
            async for event in stream.noack().events():
                state.events.append(event)
                state.arrived.set()
                if not state.held and len(state.events) * 2 >= self.window:
                    self._hold(state)

        self.app.agent(channel, name=f"intake-{state.name}", concurrency=1)(take)

    def start(self) -> None:
        """Begin to write what the agents bring."""
        for state in (*self.lanes, self.control):
            self._tasks.append(asyncio.create_task(self._write(state), name=f"intake-{state.name}"))
        self._tasks.append(asyncio.create_task(self._watch(), name="intake-watch"))

    async def aclose(self) -> None:
        """Stop taking; what was not committed is not acked and comes again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self, state: LaneState) -> None:
        while True:
            await state.arrived.wait()
            state.arrived.clear()
            while state.events:
                batch = [state.events.popleft() for _ in range(min(len(state.events), state.most))]
                await self._take(state, batch)

    async def _take(self, state: LaneState, batch: Sequence[Any]) -> None:
        arrivals = await self._arrivals(batch)
        if any(self.decoder.may_know_later(each.what) for each in arrivals) and await self.registry.refreshed():
            arrivals = await self._arrivals(batch)
        for pool in {
            (a.what.provider, a.what.model) for a in arrivals if isinstance(a.what, Ask) and a.what.failure is None
        }:
            await self._ensure(pool)
        await self.engine.accept(arrivals)
        killpoint.passing("accepted")
        for event in batch:
            event.ack()
        state.taken += len(batch)

    async def _arrivals(self, batch: Sequence[Any]) -> list[Arrival]:
        arrivals = []
        self.registry.missed()
        for i, event in enumerate(batch):
            found = self._arrival(event.message)
            if self.registry.missed():
                found = await self._read(event.message)
            arrivals.append(found)
            if i % _YIELD_EVERY == _YIELD_EVERY - 1:
                await asyncio.sleep(0)
        return arrivals

    async def _read(self, message: Any) -> Arrival:
        """By a version of a prompt that is not in memory: it is kept waiting for a database that is away."""
        while True:
            try:
                return await self.registry.decoded(partial(self._arrival, message))
            except StoreError:
                await asyncio.sleep(_RETRY_S)

    async def _ensure(self, pool: tuple[str, str]) -> None:
        while True:
            try:
                return await self.engine.pools.ensure(pool)
            except StoreError:
                await asyncio.sleep(_RETRY_S)

    def _arrival(self, message: Any) -> Arrival:
        headers = _headers(message.headers)
        position = Position(message.topic, message.partition, message.offset, round((message.timestamp or 0) * 1000))
        what: Any
        try:
            if message.topic == topics.CONTROL:
                what = cancel(message.value, self.decoder.defaults.tenant)
            else:
                operation, lane = topics.parse_request_topic(message.topic)
                what = self.decoder.record(operation, lane, position, message.value, headers, message.key)
        except Exception as error:
            log.exception(
                "a record broke the decoder", topic=message.topic, partition=message.partition, offset=message.offset
            )
            what = Unreadable(Failure(type=ErrorType.INTERNAL, message=f"a defect in decoding: {type(error).__name__}"))
        return Arrival(what, position, message.key, message.value, pack_headers(headers))

    async def _watch(self) -> None:
        """Every second: tell the ledger of commits, see how full the lanes are, hold or let go."""
        while True:
            await asyncio.sleep(0.5)
            try:
                await self._tell_commits()
                waiting = await self.database.read(queries.waiting_by_lane)
            except StoreError as error:
                log.debug("the ledger does not answer", error=str(error))
                continue
            for lane, state in enumerate(self.lanes):
                state.in_ledger, state.oldest_s = waiting.get(lane, (0, 0.0))
                self._level(state)
            self._level(self.control)

    async def _tell_commits(self) -> None:
        commits = dict(self.app.commits)
        if commits:
            await self.database.write(lambda conn: progress.saw_commit(conn, commits))
            for place, offset in commits.items():
                if self.app.commits.get(place) == offset:
                    del self.app.commits[place]

    def _level(self, state: LaneState) -> None:
        """Held and let go with room between, so that it does not flutter. A level, not an edge: every assignment forgets it."""
        full = len(state.events) * 2 >= self.window or state.in_ledger >= self.ledger_window
        low = len(state.events) * 4 < self.window and state.in_ledger * 2 < self.ledger_window
        if full:
            self._hold(state)
        elif state.held and low:
            self._let_go(state)
        elif state.held:
            self._hold(state)

    def _consumer(self) -> SpineConsumer | None:
        consumer = self.app._consumer  # noqa: SLF001 - the property makes one when there is none
        return consumer if isinstance(consumer, SpineConsumer) and consumer.started else None

    def _hold(self, state: LaneState) -> None:
        if not state.held:
            log.info("lane held back", lane=state.name, between=len(state.events), in_ledger=state.in_ledger)
        state.held = True
        if (consumer := self._consumer()) is not None:
            consumer.hold(state.topics)

    def _let_go(self, state: LaneState) -> None:
        log.info("lane goes on", lane=state.name)
        state.held = False
        if (consumer := self._consumer()) is not None:
            consumer.let_go(state.topics)

    def lag(self) -> dict[str, int]:
        """Lane -> records in Kafka that were not read yet, as far as the consumer knows."""
        consumer = self._consumer()
        found: dict[str, int] = {}
        for state in self.lanes:
            found[state.name] = len(state.events)
            if consumer is None:
                continue
            for tp in consumer.assignment():
                if tp.topic in state.topics:
                    read = consumer._read_offset.get(tp)  # noqa: SLF001 - Faust has no accessor
                    end = consumer.highwater(tp) or 0
                    found[state.name] += max(0, end - read) if read is not None else 0
        return found


def _headers(found: Any) -> list[tuple[str, bytes]]:
    if not found:
        return []
    pairs = found.items() if isinstance(found, Mapping) else found
    return [(str(name), content or b"") for name, content in pairs]
