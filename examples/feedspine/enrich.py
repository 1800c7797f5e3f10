"""Bronze to Silver, the asking half: one request per item and operation, keyed as the feed's own stream is.

    python examples/feedspine/enrich.py --brokers 127.0.0.1:9092 examples/feedspine/items.jsonl

Items are JSON Lines with `key`, `feed`, `title` and `text`; `-` reads standard input. A request's id is made of the item's
key and of what is asked, so running this again asks for the same requests: the recorded answers come back and nothing is
paid. A text that has changed gets another id, and so a new answer instead of an `idempotency_conflict`.
"""

import argparse
import asyncio
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiokafka

TENANT = "feedspine"
LANES = {"realtime": ".realtime", "normal": "", "batch": ".batch"}
CATEGORIES = {
    "deal": "a merger, an acquisition, a sale of a business",
    "people": "somebody takes or leaves an office",
    "results": "figures of a quarter or a year, or of a trial",
    "incident": "a strike, a recall, an accident, an outage",
}
MAX_REQUEST = 6 * 1024 * 1024  # as large as the request topics take
IN_FLIGHT = 1000


@dataclass(frozen=True)
class Wish:
    """One request; `id` is unique for its operation and tenant."""

    operation: str
    id: str
    input: dict[str, Any]


def wishes(item: dict[str, Any]) -> list[Wish]:
    """What an item needs to become silver."""
    text = f"{item['title']}. {item['text']}"
    asked: dict[str, dict[str, Any]] = {
        "summarize": {"content": item["text"], "max_sentences": 1},
        "classify": {"content": text, "categories": CATEGORIES},
    }
    return [Wish(operation, f"{item['key']}@{digest(input_)}", input_) for operation, input_ in asked.items()]


def digest(input_: dict[str, Any]) -> str:
    """The same for the same question, on every machine."""
    return hashlib.sha256(json.dumps(input_, sort_keys=True).encode()).hexdigest()[:12]


def read_items(path: str) -> Iterator[dict[str, Any]]:
    """JSON Lines; blank lines are skipped."""
    lines: Iterable[str] = sys.stdin if path == "-" else Path(path).read_text(encoding="utf-8").splitlines()
    return (json.loads(line) for line in lines if line.strip())


async def enrich(brokers: str, items: Iterable[dict[str, Any]], lane: str) -> int:
    """Send everything; returns how many requests the broker has acknowledged.

    Sends are gathered: waiting for each one alone makes a hundred a second, this makes thousands.
    """
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=brokers, enable_idempotence=True, linger_ms=5, max_request_size=MAX_REQUEST
    )
    await producer.start()
    sent = 0
    try:
        pending: list[asyncio.Future[Any]] = []
        for item in items:
            for wish in wishes(item):
                request = {"id": wish.id, "tenant": TENANT, "input": wish.input, "metadata": {"feed": item["feed"]}}
                topic = f"genai.requests.{wish.operation}{LANES[lane]}"
                pending.append(await producer.send(topic, json.dumps(request).encode(), item["key"].encode()))
            if len(pending) >= IN_FLIGHT:
                sent += len(await asyncio.gather(*pending))
                pending.clear()
        return sent + len(await asyncio.gather(*pending))
    finally:
        await producer.stop()


def main() -> None:
    """Parse, send, say how many."""
    parser = argparse.ArgumentParser(description="Ask GenAI Spine to enrich bronze items.")
    parser.add_argument("items", help="JSON Lines; - for standard input")
    parser.add_argument("--brokers", default="127.0.0.1:9092")
    parser.add_argument("--lane", choices=list(LANES), default="normal")
    given = parser.parse_args()
    sent = asyncio.run(enrich(given.brokers, read_items(given.items), given.lane))
    print(f"{sent} requests sent", file=sys.stderr)


if __name__ == "__main__":
    main()
