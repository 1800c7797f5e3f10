"""The day's costs as a Faust table: `genai.usage` folded, each event once, behind `genai.costs.daily`."""

from collections.abc import Mapping
from typing import Any

import orjson
import structlog

from schemas.costs import DailyTotals
from schemas.money import from_usd, to_usd
from store.ledger.recorded import REPLAYED, TOTALS
from streams import topics
from streams.kafka import SpineApp

log = structlog.get_logger(__name__)

EMPTY: Mapping[str, Any] = DailyTotals().model_dump(exclude_none=True)


def fold(
    total: Mapping[str, Any] | None, event: Mapping[str, Any], place: str, number: int, position: tuple[int, int]
) -> dict[str, Any] | None:
    """The running total after one usage event; None: this event was counted before.

    `place` is `<ledger>/<partition>`: events are numbered there before they are sent, without gaps and in order, so
    whatever is not above the last number seen is a repetition. `position` is
    the partition and the offset where the event stands: the topic is read on from the last one that a total has kept.
    """
    before = total or EMPTY
    if number <= before["seen"].get(place, 0):
        return None
    cost = from_usd(event.get("cost_usd"))
    return {
        "calls": before["calls"] + (event.get("corrects") is None),
        "input_tokens": before["input_tokens"] + event["input_tokens"],
        "output_tokens": before["output_tokens"] + event["output_tokens"],
        "cached_tokens": before["cached_tokens"] + event["cached_tokens"],
        "cost_usd": to_usd((from_usd(before["cost_usd"]) or 0) + (cost or 0)),
        "unpriced_calls": before["unpriced_calls"] + (cost is None),
        "seen": {**before["seen"], place: number},
        "position": list(position),
    }


def restated(
    total: Mapping[str, Any] | None, told: Mapping[str, Any], place: str, number: int, position: tuple[int, int]
) -> dict[str, Any] | None:
    """The total as the ledger says it was at that number, whatever stood here; None: more is known here already.

    So a table that was wiped, or is wrong, is made whole by a replay, and an event that is published behind it is added.
    """
    seen = (total or EMPTY)["seen"]
    if number < seen.get(place, 0):
        return None
    kept = {name: told[name] for name in EMPTY if name != "seen"}
    return {**kept, "seen": {**seen, place: number}, "position": list(position)}


def key_of(event: Mapping[str, Any]) -> str:
    """`date|provider|model|tenant`, the date in UTC."""
    return "|".join((event["at"][:10], event["provider"], event["model"], event["tenant"]))


class Costs:
    """The agent and its table; sequential, since only so a table may be read and written."""

    def __init__(self, app: SpineApp, partitions: int) -> None:
        usage = app.topic(topics.USAGE, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
        changelog = app.topic(
            topics.COSTS,
            key_type=bytes,
            value_type=None,
            key_serializer="raw",
            value_serializer="json",
            partitions=partitions,
            compacting=True,
            internal=True,
            acks=False,
            allow_empty=True,
            maxsize=131_072,
        )
        self.table = app.Table("costs-daily", partitions=partitions, changelog_topic=changelog, key_type=bytes)
        self.partitions = partitions
        app.positions = self.positions
        self.folded = 0
        app.agent(usage, name="costs", concurrency=1)(self._fold)

    def positions(self) -> dict[tuple[str, int], int]:
        """Where each partition of `genai.usage` must be read on from, at the latest, for the totals to be whole: behind the last
        event that a total has kept; from its start where there is no total of it, since then they were lost.
        """
        found = {(topics.USAGE, partition): 0 for partition in range(self.partitions)}
        for total in list(self.table.values()):
            partition, offset = total.get("position", (0, -1))
            found[topics.USAGE, partition] = max(found.get((topics.USAGE, partition), 0), offset + 1)
        return found

    async def _fold(self, stream: Any) -> None:
        async for event in stream.events():
            try:
                self._one(event)
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
                log.warning(
                    "a usage event cannot be folded",
                    partition=event.message.partition,
                    offset=event.message.offset,
                    error=type(error).__name__,
                )

    def _one(self, event: Any) -> None:
        headers = dict(event.headers or {})
        partition, offset = event.message.partition, event.message.offset
        place = f"{(headers.get('genai-ledger') or b'?').decode()}/{partition}"
        number = int(headers.get("genai-number") or offset + 1)
        usage = orjson.loads(event.value)
        key = key_of(usage).encode()  # as bytes: Faust would write a str as JSON, in quotes
        if REPLAYED in headers:  # it was counted when it was published first; the day's totals may come with it
            if TOTALS not in headers:
                return
            told = orjson.loads(headers[TOTALS])
            total = restated(self.table.get(key), told, place, number, (partition, offset))
        else:
            total = fold(self.table.get(key), usage, place, number, (partition, offset))
        if total is not None:
            self.table[key] = total
            self.folded += 1
