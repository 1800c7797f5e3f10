"""Bronze to Silver, the joining half: results come back under the item's own key, so a join needs nothing but that key.

    python examples/feedspine/join.py --brokers 127.0.0.1:9092 examples/feedspine/items.jsonl > silver.jsonl

Reads `genai.results` from its start, without a consumer group, so it can be run again at any time and gives the same
records. It ends when every item has its silver record (exit code 0), or after `--timeout` seconds (exit code 1).
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TextIO

import aiokafka
from enrich import TENANT, read_items, wishes

TOPIC = "genai.results"
Identity = tuple[str, str, str]
"""(tenant, operation, id)"""


def fold(best: dict[Identity, dict[str, Any]], result: dict[str, Any]) -> None:
    """A result may be delivered twice, and a redriven request has one result per generation: the highest one counts."""
    identity = (result["tenant"], result["operation"], result["id"])
    if identity not in best or result["generation"] > best[identity]["generation"]:
        best[identity] = result


def silver(item: dict[str, Any], best: dict[Identity, dict[str, Any]]) -> dict[str, Any] | None:
    """The enriched item; None while one of its results is still to come. What failed is named, not hidden."""
    found = [best.get((TENANT, wish.operation, wish.id)) for wish in wishes(item)]
    results = {result["operation"]: result for result in found if result is not None}
    if len(results) < len(found):
        return None
    output = {operation: result["output"] or {} for operation, result in results.items()}
    costs = [result["usage"]["cost_usd"] for result in results.values()]
    return {
        "key": item["key"],
        "feed": item["feed"],
        "title": item["title"],
        "summary": output["summarize"].get("summary"),
        "category": output["classify"].get("category"),
        "failed": {name: result["error"] for name, result in results.items() if result["status"] != "succeeded"},
        "models": sorted({str(result["model"]) for result in results.values()}),
        "cost_usd": str(sum((Decimal(cost) for cost in costs if cost is not None), Decimal(0))),
    }


async def join(brokers: str, items: Sequence[dict[str, Any]], out: TextIO, timeout_s: float) -> int:
    """Write each silver record once; returns how many items are still without one.

    Nothing is written before everything that was there at the start has been read: an older failure may stand before
    the success that replaced it.
    """
    waiting = {item["key"].encode(): item for item in items}
    ours, best = frozenset(waiting), dict[Identity, dict[str, Any]]()
    consumer = aiokafka.AIOKafkaConsumer(TOPIC, bootstrap_servers=brokers, auto_offset_reset="earliest")
    await consumer.start()  # in no group, so every partition is ours
    try:
        if not (partitions := consumer.assignment()):
            sys.exit(f"There is no topic {TOPIC} at {brokers}. Is GenAI Spine running there?")
        ends = await consumer.end_offsets(partitions)
        until = time.monotonic() + timeout_s
        while waiting and time.monotonic() < until:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    if record.key in ours:
                        fold(best, json.loads(record.value))
            if all([await consumer.position(place) >= ends[place] for place in partitions]):
                write(waiting, best, out)
        return len(waiting)
    finally:
        await consumer.stop()


def write(waiting: dict[bytes, dict[str, Any]], best: dict[Identity, dict[str, Any]], out: TextIO) -> None:
    """The items that are complete now, which then wait no longer."""
    for key, record in [(key, record) for key, item in waiting.items() if (record := silver(item, best))]:
        out.write(json.dumps(record, ensure_ascii=False) + "\n")
        del waiting[key]
    out.flush()


def main() -> None:
    """Parse, join, say what is missing."""
    parser = argparse.ArgumentParser(description="Join GenAI Spine's results to bronze items.")
    parser.add_argument("items", help="the JSON Lines that enrich.py was given; - for standard input")
    parser.add_argument("--brokers", default="127.0.0.1:9092")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds")
    given = parser.parse_args()
    missing = asyncio.run(join(given.brokers, list(read_items(given.items)), sys.stdout, given.timeout))
    if missing:
        sys.exit(f"{missing} items have no silver record yet; run this again later.")


if __name__ == "__main__":
    main()
