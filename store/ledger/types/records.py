"""Records of topics: where one stands, where ours go, and one that waits to be published."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Routes:
    """Where records go. `partition(topic, key)` is the partitioner of the destination, given by the room that knows Kafka."""

    results: str
    usage: str
    dlq: str
    partition: Callable[[str, bytes], int]
    runs: str = ""
    """Where the progress of long calls is published; empty: nowhere."""
    prompts: str = ""
    """Where it is told what prompts and their labels say; empty: nowhere."""
    replays: str = ""
    """Where results go of requests that a replay asked anew; empty: to the others."""
    address: str = ""
    """The web door's address, for results that are too large for a topic."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record stands. The timestamp tells a topic that was made anew from the old one."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A record that waits to be published."""

    pk: int
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
