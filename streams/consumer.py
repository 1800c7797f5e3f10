"""Faust's consumer, made to deliver every record: where it reads on is asked of the ledger and of the tables, what is held
stays held, and a record that was fetched and dropped is read again.

Faust 0.15 drops what it has fetched in several places: when a partition is paused, when the flow is suspended under a
record in hand, when a seek meets a batch that was fetched before it. Each is made good the same way here: the next offset
to deliver is known for each partition, and whatever comes after it out of turn sends the reader back.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import structlog
from aiokafka.errors import IllegalStateError, KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

log = structlog.get_logger(__name__)

Planner = Callable[[set[TP]], Awaitable[Mapping[TP, int]]]
"""At assignment: request partitions to the offset to read on from. May wait for the ledger as long as it takes."""
Tables = Callable[[], Mapping[tuple[str, int], int]]
"""The latest offsets to read on from for tables to be whole, by topic and partition."""
_UNSURE_S = 5.0
"""So long after a seek or an interruption the broker's client is asked every second where it stands."""
_FETCH_S = 1.0
_YIELD_EVERY = 100


class SpineConsumer(driver.Consumer):
    """`_read_offset` is the next offset to deliver, in every place; None: not known, so nothing is delivered yet."""

    planner: Planner
    is_ours: Callable[[str], bool]
    tables: Tables
    missed: Callable[[int], None]
    """Is told how many records retention has deleted that nobody had read."""
    committed: dict[tuple[str, int], int]
    """Commits that the ledger has not been told of."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.held: set[TP] = set()
        """Partitions that stay paused whatever Faust says: their start is not decided yet, or their lane is full."""
        self.unplanned: set[TP] = set()
        self._planning: list[asyncio.Future[None]] = []
        self._flows = asyncio.Event()
        self._sent_back: dict[TP, int] = {}
        """Where a partition was last sent back to: what is missing there a second time is not in the topic."""
        self._seeks: Counter[TP] = Counter()
        self._unsure_until = 0.0

    # where to read on

    async def perform_seek(self) -> None:
        """Every way of Faust's to (re)start reading ends here. Our partitions and the agents' wait until it is decided where."""
        self._wait_for_a_plan()
        self._flows.clear()
        await super().perform_seek()
        tps = self._wait_for_a_plan()
        for planning in self._planning:
            planning.cancel()
        ours = {tp for tp in tps if self.is_ours(tp.topic)}
        self._planning = [
            asyncio.ensure_future(self._begin(ours, self.planner)),
            asyncio.ensure_future(self._begin(tps - ours, self._where_tables_are)),
        ]

    def _wait_for_a_plan(self) -> set[TP]:
        self.unplanned = {tp for tp in self.assignment() if self._is_acked(tp)}
        super().pause_partitions(self.unplanned)
        return set(self.unplanned)

    def resume_flow(self) -> None:
        """The last thing that Faust does at an assignment, just after it has emptied the agents' queues."""
        super().resume_flow()
        self._flows.set()

    async def _begin(self, tps: set[TP], planner: Planner) -> None:
        """Until it is done, or the next assignment has begun another one in its place."""
        begun = not tps
        while not begun:
            begun = await self._has_begun(tps, planner)

    async def _has_begun(self, tps: set[TP], planner: Planner) -> bool:
        try:
            await self._begin_at(tps, planner)
        except asyncio.CancelledError:
            raise
        except (KafkaError, TimeoutError) as error:  # most often they are just being taken from us
            log.info("cannot read on yet; it is tried again", error=repr(error), partitions=len(tps))
            await asyncio.sleep(_FETCH_S)
            return False
        except Exception:
            if not self.should_stop:
                log.exception("could not decide where to read on; this process ends")
                await self.app.crash(RuntimeError("no start for the partitions"))
        return True

    async def _begin_at(self, tps: set[TP], planner: Planner) -> None:
        starts = await planner(tps)
        await self._flows.wait()
        live = {tp: offset for tp, offset in starts.items() if tp in self.assignment()}
        if live:
            await self.seek_wait(live)
        for tp, offset in live.items():
            self._start_at(tp, offset)
        self.unplanned -= tps
        self._be_unsure()
        self.resume_partitions(live)

    async def _where_tables_are(self, tps: set[TP]) -> Mapping[TP, int]:
        """What the group has committed; less where a table has not got so far, all where nothing was committed.

        Faust commits what an agent has folded although the table's record of it may still be on its way (its flush gives
        up after 0.1 s): what a kill has cost then is read again.
        """
        committed = {tp: self._committed_offset[tp] for tp in tps}
        earliest, ends = await self.earliest_offsets(*tps), await self.highwaters(*tps)
        starts = {
            tp: earliest[tp] if found is None or found > ends[tp] else found  # beyond its end: of a topic that is gone
            for tp, found in committed.items()
        }
        for (topic, partition), offset in self.tables().items():
            tp = TP(topic, partition)
            if tp in starts and offset < starts[tp]:
                log.info("a table is behind its commit; reading again", topic=topic, start=offset, committed=starts[tp])
                starts[tp] = max(offset, earliest[tp])
        return starts

    def _start_at(self, tp: TP, offset: int) -> None:
        self._seeks[tp] += 1
        self._read_offset[tp] = offset
        self._committed_offset[tp] = offset or None
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        self._gap[tp].clear()

    # what is held

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Only what is planned and not held back."""
        super().resume_partitions({tp for tp in tps if tp not in self.held and tp not in self.unplanned})

    def hold(self, topics: Iterable[str]) -> None:
        """Fetch no more of these topics, over any assignment, until `let_go`; what is fetched already is still delivered."""
        named = set(topics)
        tps = {tp for tp in self.assignment() if tp.topic in named and tp not in self.unplanned}
        self.held |= tps
        self._get_active_partitions().difference_update(tps)
        self._buffered_partitions.update(tps)

    def let_go(self, topics: Iterable[str]) -> None:
        """The lane has room again."""
        named = set(topics)
        gone = {tp for tp in self.held if tp.topic in named}
        self.held -= gone
        self._buffered_partitions.difference_update(gone)
        self.resume_partitions(gone & self.assignment())

    def on_buffer_drop(self, tp: TP) -> None:
        """Faust's own channel has room again: that lets nothing go that we hold."""
        if tp not in self.held:
            super().on_buffer_drop(tp)

    # delivery

    async def _drain_messages(self, fetcher: Any) -> None:
        """Fetch and deliver until the fetcher stops; Faust runs this as its fetcher's task."""
        try:
            asked = 0.0
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):  # noqa: SLF001 - Faust does so
                await asyncio.sleep(0)
                records, active = await self._wait_next_records(_FETCH_S)
                if records:
                    await self._unless_suspended(self._deliver(records, active))
                if (now := time.monotonic()) - asked >= _FETCH_S:
                    asked = now
                    self._look_for_topics_made_anew()
                    if now < self._unsure_until:
                        await self._check_positions()
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise

    async def _unless_suspended(self, delivery: Any) -> None:
        """Delivery may wait for room for ever; a rebalance must not wait for it. What is left is fetched again."""
        delivering = asyncio.ensure_future(delivery)
        ends = [asyncio.ensure_future(event.wait()) for event in (self.suspend_flow, self._stopped, self._crashed)]
        try:
            await asyncio.wait([delivering, *ends], return_when=asyncio.FIRST_COMPLETED)
            if delivering.done():
                delivering.result()
            else:
                self._be_unsure()
        finally:
            for task in (delivering, *ends):
                task.cancel()

    async def _deliver(self, records: Mapping[TP, Any], active: set[TP] | None) -> None:
        sent_back: set[TP] = set()
        for n, (tp, record) in enumerate(self.scheduler.iterate(records)):
            if n % _YIELD_EVERY == _YIELD_EVERY - 1:
                await asyncio.sleep(0)
            wanted = active is None or tp in active or tp in self._buffered_partitions
            if not wanted or tp in sent_back or tp in self.unplanned or not self._is_due(tp, record.offset):
                continue
            if not await self._is_next(tp, record.offset):
                sent_back.add(tp)
                continue
            if self._commit_every is not None and self._n_acked >= self._commit_every:
                self._n_acked = 0
                await self.commit()
            seeks = self._seeks[tp]
            await self.callback(self._to_message(tp, record))
            if self._seeks[tp] == seeks:  # else a seek came between, and its start holds
                self._read_offset[tp] = record.offset + 1

    def _is_acked(self, tp: TP) -> bool:
        """Changelogs are not: they are read whole when a table recovers, and compaction leaves holes in them."""
        return bool(self.app.topics.acks_enabled_for(tp.topic))

    def _is_due(self, tp: TP, offset: int) -> bool:
        wanted = self._read_offset[tp]
        return not self._is_acked(tp) if wanted is None else offset >= wanted

    def _look_for_topics_made_anew(self) -> None:
        """A partition that ends before what was read of it is another one of the same name: it is asked anew where to begin."""
        anew = {tp for tp in self.assignment() - self.unplanned if self._is_acked(tp) and self._ends_before(tp)}
        if not anew:
            return
        log.warning("a topic was deleted and made again while it was read", partitions=sorted(map(str, anew)))
        self.unplanned |= anew
        super().pause_partitions(anew)
        ours = {tp for tp in anew if self.is_ours(tp.topic)}
        self._planning += [
            asyncio.ensure_future(self._begin(ours, self.planner)),
            asyncio.ensure_future(self._begin(anew - ours, self._where_tables_are)),
        ]

    def _ends_before(self, tp: TP) -> bool:
        wanted = self._read_offset[tp]
        try:
            end = self.highwater(tp)
        except (
            AssertionError,
            AttributeError,
            IllegalStateError,
        ):  # it is taken from us at this moment, in another thread
            return False
        return wanted is not None and end is not None and end < wanted

    async def _is_next(self, tp: TP, offset: int) -> bool:
        """Whether nothing is missing before it. The first time something is, it is fetched again."""
        wanted = self._read_offset[tp]
        if wanted is None or offset == wanted or not self._is_acked(tp):
            return True
        if self._sent_back.get(tp) != wanted:
            await self._send_back(tp, wanted)
            return False
        await self._tell_of_a_loss(tp, wanted)
        await self._add_gap(tp, wanted, offset - 1)
        self._read_offset[tp] = offset
        return True

    async def _tell_of_a_loss(self, tp: TP, wanted: int) -> None:
        """A gap is retention's only where the log begins behind it; else a transaction's marker stood there."""
        begin = (await self.earliest_offsets(tp)).get(tp) or 0
        if self.is_ours(tp.topic) and begin > wanted:
            self.missed(begin - wanted)
            log.error(
                "retention has deleted records that nobody had read; they get no answer",
                partition=str(tp),
                records=begin - wanted,
                reading_on_at=begin,
                mend="produce them again; raise GENAI_RETENTION_HOURS, or add workers",
            )

    async def _send_back(self, tp: TP, offset: int) -> None:
        log.debug("fetched and dropped; reading again", topic=tp.topic, partition=tp.partition, offset=offset)
        self._be_unsure()
        try:
            await self.seek_wait({tp: offset})
        except (IllegalStateError, TimeoutError) as error:  # it was taken from us; whoever gets it decides
            log.debug("could not go back", topic=tp.topic, partition=tp.partition, error=str(error))
            return
        self._sent_back[tp] = offset
        self._read_offset[tp] = offset

    def _be_unsure(self) -> None:
        self._unsure_until = time.monotonic() + _UNSURE_S

    async def _check_positions(self) -> None:
        """Records at the end of a partition that were fetched and dropped have none after them to show it."""
        active = {tp for tp in self._get_active_partitions() & self.assignment() if self._is_acked(tp)}
        wanted = {tp: self._read_offset[tp] for tp in active - self.unplanned}
        for tp, offset in wanted.items():
            if offset is None or self._sent_back.get(tp) == offset:
                continue
            position = await self._position(tp)
            if position is not None and position > offset and self._read_offset[tp] == offset:
                await self._send_back(tp, offset)

    async def _position(self, tp: TP) -> int | None:
        try:
            async with asyncio.timeout(_FETCH_S):
                return await self.position(tp)
        except (IllegalStateError, TimeoutError):
            return None

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        done = bool(await super()._commit(offsets))
        if done:
            self.committed.update(
                {(tp.topic, tp.partition): offset for tp, offset in offsets.items() if self.is_ours(tp.topic)}
            )
        return done
