"""The topics: one table of them, how they must be, and what to do where a cluster's differ.

Declared by us and never left to auto-creation: a consumer that merely names a topic would make it with the broker's
defaults. Everything but `create`, `check` and `list_topics` is a pure function.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from schemas import Lane
from streams import topics_admin as admin
from streams.settings import Settings
from streams.topics_admin import Existing

REQUESTS = "genai.requests."
RESULTS = "genai.results"
USAGE = "genai.usage"
COSTS = "genai.costs.daily"
RUNS = "genai.runs"
PROMPTS = "genai.prompts"
REPLAYS = "genai.replays"
CONTROL = "genai.control"
DLQ = "genai.dlq"

_SUFFIX = {Lane.REALTIME: ".realtime", Lane.NORMAL: "", Lane.BATCH: ".batch"}
_HEADERS = 64 * 1024  # a dead letter is its record and what is said about it
_HOUR_MS = 3_600_000


def request_topic(operation: str, lane: Lane = Lane.NORMAL) -> str:
    """`genai.requests.<operation>`, with `.realtime` or `.batch` for the other two lanes."""
    return f"{REQUESTS}{operation}{_SUFFIX[lane]}"


def parse_request_topic(name: str) -> tuple[str, Lane]:
    """What `request_topic` joined; ValueError for any other topic."""
    operation = name.removeprefix(REQUESTS)
    if operation == name or not operation:
        raise ValueError(f"{name!r} is no request topic; those are named {REQUESTS}<operation>[.realtime|.batch]")
    for lane in (Lane.REALTIME, Lane.BATCH):
        if operation.endswith(_SUFFIX[lane]):
            return operation.removesuffix(_SUFFIX[lane]), lane
    return operation, Lane.NORMAL


@dataclass(frozen=True)
class Topic:
    """How a topic must be. `fixed`: its partition count is settled at birth, because a table's shards hang on it."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)
    fixed: bool = False


def table(settings: Settings, operations: Iterable[str]) -> tuple[Topic, ...]:
    """Every topic, for these operations' names; results come first, so that they are never the narrower ones."""
    answer = settings.result_max_bytes
    dead = max(answer, settings.request_max_bytes + _HEADERS)
    keep, keep_dead = settings.retention_hours * _HOUR_MS, settings.dlq_retention_hours * _HOUR_MS
    requests = [request_topic(operation, lane) for operation in operations for lane in Lane]
    rows: list[tuple[str, int, str, int | None, int | None, bool]] = [
        # name, partitions, cleanup, retention, largest record, fixed
        (RESULTS, settings.partitions, "delete", keep, answer, False),
        *((name, settings.partitions, "delete", keep, settings.request_max_bytes, False) for name in requests),
        (USAGE, settings.partitions, "delete", keep, answer, True),
        (COSTS, settings.partitions, "compact", None, None, True),
        (RUNS, settings.partitions, "compact,delete", keep, None, False),
        (
            PROMPTS,
            1,
            "compact",
            None,
            answer,
            True,
        ),  # one partition: moves are told in the order in which they were made
        (REPLAYS, settings.partitions, "delete", keep, answer, False),
        (CONTROL, 1, "delete", keep, None, True),  # one partition: cancels are applied in the order they were given
        (DLQ, settings.partitions, "delete", keep_dead, dead, False),
    ]
    return tuple(
        Topic(name, partitions, settings.replication_factor, _config(settings, cleanup, retention, largest), fixed)
        for name, partitions, cleanup, retention, largest, fixed in rows
    )


def _config(settings: Settings, cleanup: str, retention_ms: int | None, largest: int | None) -> dict[str, str]:
    config = {
        "cleanup.policy": cleanup,
        "retention.ms": retention_ms,
        "max.message.bytes": largest,
        "min.insync.replicas": 2 if settings.replication_factor > 2 else 1,
    }
    return {key: str(value) for key, value in config.items() if value is not None}


class Kind(StrEnum):
    """What differs; `replication` is the only one that `create` does not mend."""

    MISSING = "missing"
    PARTITIONS = "partitions"
    CLEANUP = "cleanup"
    CONFIG = "config"
    REPLICATION = "replication"


@dataclass(frozen=True)
class Finding:
    """One difference between a cluster and the table: a sentence, and what mends it."""

    topic: str
    kind: Kind
    message: str
    mend: str = "Run `genai-spine topics create`."

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


class Plan(NamedTuple):
    """What `create` does, in this order; a results topic is grown before the requests that it must be as wide as."""

    create: tuple[Topic, ...]
    grow: Mapping[str, int]
    configure: Mapping[str, Mapping[str, str]]

    @property
    def empty(self) -> bool:
        """Whether the cluster is as the table says."""
        return not (self.create or self.grow or self.configure)


def widened(wanted: Iterable[Topic], existing: Mapping[str, Existing]) -> tuple[Topic, ...]:
    """The table, fitted to a cluster whose operator has made more partitions than the settings say; never fewer.

    Results are as wide as the widest request topic, since a result goes to the partition number of its request, and
    dead letters and runs go along. Usage and the daily costs keep the count they were born with, and have the same
    one: a Faust table's changelog must be cut like the topic that feeds it.
    """
    wanted = tuple(wanted)
    present = {topic.name: existing[topic.name].partitions for topic in wanted if topic.name in existing}
    requests = [
        max(topic.partitions, present.get(topic.name, 0)) for topic in wanted if topic.name.startswith(REQUESTS)
    ]
    widest = max(requests, default=0)
    table_width = max((present[name] for name in (USAGE, COSTS) if name in present), default=0)
    return tuple(
        Topic(topic.name, _width(topic, present, widest, table_width), topic.replication, topic.config, topic.fixed)
        for topic in wanted
    )


def _width(topic: Topic, present: Mapping[str, int], widest: int, table_width: int) -> int:
    if topic.name in (USAGE, COSTS):
        return table_width or topic.partitions
    if topic.fixed:
        return present.get(topic.name, topic.partitions)
    floor = 0 if topic.name.startswith(REQUESTS) else widest
    return max(topic.partitions, present.get(topic.name, 0), floor)


def plan(wanted: Iterable[Topic], existing: Mapping[str, Existing]) -> Plan:
    """What is to be done so that the cluster is as the table says; nothing is ever shrunk or deleted."""
    fitted = widened(wanted, existing)
    there = [(topic, existing[topic.name]) for topic in fitted if topic.name in existing]
    return Plan(
        create=tuple(topic for topic in fitted if topic.name not in existing),
        grow={topic.name: topic.partitions for topic, has in there if has.partitions < topic.partitions},
        configure={topic.name: changes for topic, has in there if (changes := _changes(topic, has))},
    )


def _changes(topic: Topic, has: Existing) -> dict[str, str]:
    return {key: value for key, value in topic.config.items() if _normal(has.config.get(key)) != _normal(value)}


def _normal(value: str | None) -> frozenset[str]:
    """`compact,delete` and `delete,compact` are the same policy."""
    return frozenset(part.strip() for part in (value or "").split(","))


def findings(wanted: Iterable[Topic], existing: Mapping[str, Existing]) -> list[Finding]:
    """Every difference, in words, in the table's order."""
    found: list[Finding] = []
    for topic in widened(wanted, existing):
        has = existing.get(topic.name)
        found += [_missing(topic)] if has is None else _differences(topic, has)
    return found


def _missing(topic: Topic) -> Finding:
    return Finding(topic.name, Kind.MISSING, f"{topic.name} does not exist.")


def _differences(topic: Topic, has: Existing) -> list[Finding]:
    found = []
    if has.partitions < topic.partitions:
        text = f"{topic.name} has {has.partitions} partitions and needs {topic.partitions}."
        found.append(Finding(topic.name, Kind.PARTITIONS, text))
    for key, value in _changes(topic, has).items():
        kind = Kind.CLEANUP if key == "cleanup.policy" else Kind.CONFIG
        found.append(Finding(topic.name, kind, f"{topic.name} has {key}={has.config.get(key)} and needs {value}."))
    if has.replication < topic.replication:
        text = f"{topic.name} has {has.replication} replicas and needs {topic.replication}."
        mend = "Move it with Kafka's own `genai-spine kafka reassign-partitions`, or set GENAI_REPLICATION_FACTOR."
        found.append(Finding(topic.name, Kind.REPLICATION, text, mend))
    return found


@dataclass(frozen=True)
class Done:
    """What `create` changed: topics made, their new widths, and the settings corrected."""

    created: tuple[str, ...] = ()
    grown: Mapping[str, int] = field(default_factory=dict)
    configured: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


async def create(bootstrap: str, settings: Settings, operations: Iterable[str]) -> Done:
    """Make the cluster as the table says; run twice, or by several at once, it ends in the same place."""
    wanted = table(settings, operations)
    async with admin.connected(bootstrap) as client:
        todo = plan(wanted, await admin.describe(client))
        await admin.create(client, [(t.name, t.partitions, t.replication, t.config) for t in todo.create])
        for name, partitions in todo.grow.items():
            await admin.grow(client, name, partitions)
        for name, changes in todo.configure.items():
            await admin.configure(client, name, changes)
        await admin.until(client, lambda found: plan(wanted, found).empty)
    return Done(tuple(topic.name for topic in todo.create), todo.grow, todo.configure)


async def check(bootstrap: str, settings: Settings, operations: Iterable[str]) -> list[Finding]:
    """What differs from the table; empty when all is well. Changes nothing."""
    async with admin.connected(bootstrap) as client:
        return findings(table(settings, operations), await admin.describe(client))


async def list_topics(bootstrap: str, prefix: str = "genai.") -> dict[str, Existing]:
    """The topics whose name starts so, by name, as they are."""
    async with admin.connected(bootstrap) as client:
        found = await admin.describe(client)
    return {name: found[name] for name in sorted(found) if name.startswith(prefix)}
