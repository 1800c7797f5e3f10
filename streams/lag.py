"""What is in Kafka and not in the ledger yet, asked of the broker: the consumer group's lag by lane and operation, and how
old the oldest unread record is against its topic's retention.

Whoever asks pays: a few round trips over connections that are closed again. Nothing here raises; what cannot be known is said.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

from schemas.request import Lane
from streams import reading, topics, topics_admin
from streams.errors import SpineError
from streams.security import NotLetIn
from streams.topics_admin import Existing

LIMIT_S = 5.0
_FETCH_MS = 500
_AGAIN_S = 0.2
NEAR = 0.7
"""The share of its retention at which an unread record is in danger."""
_Places = dict[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Lag:
    """`why`: empty, or why it is not known. Ages are of the oldest unread record of a lane, where they were asked for."""

    records: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    """Lane -> operation -> records."""
    age_s: Mapping[int, float] = field(default_factory=dict)
    retention: Mapping[int, float] = field(default_factory=dict)
    """Lane -> the greatest share of its topic's `retention.ms` that an unread record has reached."""
    why: str = ""

    def danger(self) -> str:
        """A sentence about the lane that is nearest to losing records; empty: none is near."""
        worst = max(self.retention, key=lambda lane: self.retention[lane], default=None)
        if worst is None or self.retention[worst] < NEAR:
            return ""
        return (
            f"the oldest unread record of the lane {Lane(worst).name.lower()} has reached {self.retention[worst]:.0%} of its "
            "topic's retention: Kafka deletes what is older, read or not"
        )


async def look(bootstrap: str, group: str, operations: Iterable[str], *, ages: bool = False) -> Lag:
    """Answers within `LIMIT_S`, whatever the broker does."""
    try:
        async with asyncio.timeout(LIMIT_S):
            return await _look(bootstrap, group, frozenset(operations), ages=ages)
    except TimeoutError:
        return Lag(why=f"Kafka at {bootstrap} did not answer within {LIMIT_S:.0f} s")
    except (SpineError, KafkaError, OSError) as error:
        why = str(error) if isinstance(error, SpineError | NotLetIn) else f"Kafka at {bootstrap} says: {error}"
        return Lag(why=why.rstrip("."))


async def _look(bootstrap: str, group: str, operations: frozenset[str], *, ages: bool) -> Lag:
    async with topics_admin.connected(bootstrap) as client:
        existing = _of(await topics_admin.describe(client), operations)
        committed = await _committed(client, group)
    places = [TopicPartition(name, n) for name, topic in existing.items() for n in range(topic.partitions)]
    async with reading.consumer(bootstrap) as reader:
        unread = await _unread(reader, places, committed)
        oldest = await _oldest(reader, unread) if ages else {}
    return _told(existing, unread, oldest, time.time())


def _of(found: Mapping[str, Existing], operations: frozenset[str]) -> dict[str, Existing]:
    """Our request topics."""
    names = {topics.request_topic(operation, lane) for operation in operations for lane in Lane}
    return {name: topic for name, topic in found.items() if name in names}


async def _committed(client: AIOKafkaAdminClient, group: str) -> _Places:
    """Nothing for a group that has never read. A cluster's very first question about groups makes it a topic for them."""
    while True:
        try:
            found = await client.list_consumer_group_offsets(group)
        except GroupCoordinatorNotAvailableError:
            await asyncio.sleep(_AGAIN_S)
        else:
            return {tp: meta.offset for tp, meta in found.items() if meta.offset >= 0}


async def _unread(
    reader: Any, places: list[TopicPartition], committed: _Places
) -> dict[TopicPartition, tuple[int, int]]:
    """Partition -> the first unread offset and the end, of those that have unread records."""
    if not places:
        return {}
    await reading.know(reader, places)
    begins, ends = await reader.beginning_offsets(places), await reader.end_offsets(places)
    starts = {tp: max(committed.get(tp, 0), begins[tp]) for tp in places}
    return {tp: (starts[tp], ends[tp]) for tp in places if starts[tp] < ends[tp]}


async def _oldest(reader: Any, unread: Mapping[TopicPartition, tuple[int, int]]) -> dict[TopicPartition, float]:
    """Partition -> when its first unread record was written, in seconds; what does not come soon is left out."""
    left, found = set(unread), {}
    reader.assign(list(left))
    for tp in left:
        reader.seek(tp, unread[tp][0])
    until = time.monotonic() + LIMIT_S / 2
    while left and time.monotonic() < until:
        for tp, records in (await reader.getmany(*left, timeout_ms=_FETCH_MS, max_records=len(left))).items():
            found[tp] = records[0].timestamp / 1000
            left.discard(tp)
    return found


def _told(
    existing: Mapping[str, Existing],
    unread: Mapping[TopicPartition, tuple[int, int]],
    oldest: Mapping[TopicPartition, float],
    now: float,
) -> Lag:
    records: dict[int, dict[str, int]] = {lane: {} for lane in Lane}
    age: dict[int, float] = {}
    share: dict[int, float] = {}
    for name in existing:
        operation, lane = topics.parse_request_topic(name)
        mine = [tp for tp in unread if tp.topic == name]
        records[lane][operation] = sum(unread[tp][1] - unread[tp][0] for tp in mine)
        ages = [max(0.0, now - oldest[tp]) for tp in mine if tp in oldest]
        if ages:
            age[lane] = max(age.get(lane, 0.0), *ages)
            kept_s = float(existing[name].config.get("retention.ms", -1)) / 1000
            share[lane] = max(share.get(lane, 0.0), max(ages) / kept_s if kept_s > 0 else 0.0)
    return Lag(records, age, share)
