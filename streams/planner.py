"""Where to read on, at every assignment: what Kafka and the ledger say of each partition, held against each other."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiokafka
import structlog
from faust.types import TP
from sqlalchemy import Connection

from store.database import Database
from store.errors import StoreError
from store.ledger import outgoing, progress
from streams import security

log = structlog.get_logger(__name__)

_RETRY_S = 1.0


class Planner:
    """Where to read on, decided from what Kafka and the ledger say of each partition (`store.ledger.progress.decide`)."""

    def __init__(self, database: Database, bootstrap: str, group: str, missed: Callable[[int], None]) -> None:
        self.database, self.bootstrap, self.group = database, bootstrap, group
        self.missed = missed
        """Is told how many records retention has deleted that nobody had read."""

    async def __call__(self, tps: set[TP]) -> Mapping[TP, int]:
        """Waits for the ledger and the broker as long as it takes; the partitions are paused meanwhile."""
        if not tps:
            return {}
        while True:
            try:
                starts = await self._decide(tps)
            except (StoreError, aiokafka.errors.KafkaError, TimeoutError) as error:
                log.warning("cannot tell yet where to read on; asking again", error=str(error))
                await asyncio.sleep(_RETRY_S)
            else:
                if starts is not None:
                    return starts

    async def _decide(self, tps: set[TP]) -> dict[TP, int] | None:
        """None: the ledger went on while the broker was asked. What was read before a partition was taken from us is still
        being accepted and committed, and beside a stale row of the ledger such a commit would look like a hole.
        """
        known = await self.database.read(partial(_known, tps=tps))
        facts = await _facts(
            self.bootstrap,
            self.group,
            {tp: -1 if found is None else found.next_offset - 1 for tp, found in known.items()},
        )
        starts = {
            tp: progress.decide(known[tp], committed=f.committed, begin=f.begin, end=f.end, timestamp=f.timestamp)
            for tp, f in facts.items()
        }
        changed = {tp: start for tp, start in starts.items() if start.progress != known[tp]}
        ahead = any(start.why == "hole" for start in starts.values())

        def save(conn: Any) -> bool:
            if _known(conn, tps, lock=True) != known:
                return False
            for tp, start in changed.items():
                progress.save(conn, tp.topic, tp.partition, start.progress)
            if ahead:
                outgoing.leap(conn)
            return True

        if (changed or ahead) and not await self.database.write(save):
            return None
        for tp, start in starts.items():
            self._tell(tp, start, facts[tp])
        return {tp: start.offset for tp, start in starts.items()}

    def _tell(self, tp: TP, start: progress.Start, facts: "_Facts") -> None:
        if start.missed:
            self.missed(start.missed)
            log.error(
                "retention has deleted records that nobody had read; they get no answer",
                partition=str(tp),
                records=start.missed,
                reading_on_at=start.offset,
                mend="produce them again; raise GENAI_RETENTION_HOURS, or add workers",
            )
        if start.why == "new" and facts.committed is not None and start.offset > facts.begin:
            log.warning(
                "the group has read this partition before, and this ledger never has; it reads on where the group stands",
                partition=str(tp),
                offset=start.offset,
                records=start.offset - facts.begin,
                mend="right after a move to a new ledger; if one was lost, or an old one restored, move the offsets back",
            )
        if start.why in {"reset", "anew"} or (start.why == "lost" and start.offset > facts.begin):
            log.warning(
                "reading on elsewhere than the group's offset says",
                partition=str(tp),
                why=start.why,
                offset=start.offset,
            )
        if start.why == "hole" and facts.committed is not None:
            log.error(
                "the group is ahead of the ledger: an old database was restored, or the offsets were moved forward. "
                "The records between are read again; what was answered since that backup is called, and paid, again",
                partition=str(tp),
                why=start.why,
                offset=start.offset,
                records=max(0, facts.committed - start.offset),
            )


def _known(conn: Connection, tps: set[TP], *, lock: bool = False) -> dict[TP, progress.Progress | None]:
    return {tp: progress.load(conn, tp.topic, tp.partition, lock=lock) for tp in sorted(tps)}


@dataclass(frozen=True, slots=True)
class _Facts:
    committed: int | None
    begin: int
    end: int
    timestamp: int | None


async def _facts(bootstrap: str, group: str, last: Mapping[TP, int]) -> dict[TP, _Facts]:
    """What the broker says of each partition, by a consumer of our own that joins no group."""
    consumer = aiokafka.AIOKafkaConsumer(
        **security.client(bootstrap),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=10_000,
    )
    await consumer.start()
    try:
        tps = {tp: aiokafka.TopicPartition(tp.topic, tp.partition) for tp in last}
        consumer.assign(list(tps.values()))
        begin = await consumer.beginning_offsets(list(tps.values()))
        end = await consumer.end_offsets(list(tps.values()))
        found: dict[TP, _Facts] = {}
        stamps = await _timestamps(consumer, {k: last[tp] for tp, k in tps.items() if begin[k] <= last[tp] < end[k]})
        for tp, k in tps.items():
            found[tp] = _Facts(await consumer.committed(k), begin[k], end[k], stamps.get(k))
        return found
    finally:
        await consumer.stop()


async def _timestamps(consumer: Any, wanted: Mapping[Any, int]) -> dict[Any, int]:
    """The timestamps of single records, read at their offsets."""
    found: dict[Any, int] = {}
    if not wanted:
        return found
    for k, offset in wanted.items():
        consumer.seek(k, offset)
    idle = [k for k in consumer.assignment() if k not in wanted]
    if idle:
        consumer.pause(*idle)
    until = time.monotonic() + 5
    while len(found) < len(wanted) and time.monotonic() < until:
        for k, records in (await consumer.getmany(timeout_ms=500)).items():
            for record in records:
                if record.offset == wanted[k]:
                    found[k] = record.timestamp
            consumer.pause(k)
    return found
