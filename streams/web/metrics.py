"""`/metrics`: what the engine counts, and what is looked up at the moment of asking."""

import asyncio
from collections.abc import Collection, Set
from dataclasses import dataclass, field

import psutil
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import Connection
from starlette.responses import Response

from agents.engine.names import named, own
from schemas.request import LANE_NAMES
from store.errors import StoreError
from store.ledger import budgets, held, limits, parked, queries
from store.ledger.budgeting import State
from store.ledger.limits import Limits
from store.ledger.types.claims import Pool
from streams.lag import Lag
from streams.spine import Spine
from streams.web.front import Front

_LOOK_S = 3.0
_POOL = ("provider", "model")


@dataclass
class Facts:
    """What the ledger says; empty while it is away."""

    waiting: dict[int, tuple[int, float]] = field(default_factory=dict)
    outbox: int = 0
    held: int = 0
    slots: list[tuple[str, str, int, int]] = field(default_factory=list)
    answered: set[Pool] = field(default_factory=set)
    limits: Limits = field(default_factory=Limits)
    budgets: list[State] = field(default_factory=list)
    batched: list[tuple[str, bool, int]] = field(default_factory=list)


def look(conn: Connection) -> Facts:
    """One transaction for all of it."""
    slots = [(row.provider, row.model, int(row.total), int(row.used)) for row in queries.running(conn)]
    return Facts(
        queries.waiting_by_lane(conn),
        queries.outbox_size(conn),
        held.count(conn),
        slots,
        queries.answered(conn),
        limits.read(conn),
        budgets.standing(conn),
        parked.standing(conn),
    )


async def response(front: Front) -> Response:
    """In Prometheus' text format. Answers without the ledger, and says that it is away."""
    spine = front.spine
    if spine is None:
        return Response(generate_latest(_up(0)), media_type=CONTENT_TYPE_LATEST)
    try:
        async with asyncio.timeout(_LOOK_S):
            facts: Facts | None = await spine.database.read(look)
    except (StoreError, TimeoutError):
        facts = None
    told = generate_latest(_gauges(front, spine, facts)) + generate_latest(spine.metrics.registry)
    return Response(told, media_type=CONTENT_TYPE_LATEST)


def _up(value: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    _set(registry, "genai_up", "Whether the process's parts are there.", value)
    return registry


def _gauges(front: Front, spine: Spine, facts: Facts | None) -> CollectorRegistry:
    registry = _up(1)
    _set(registry, "genai_ledger_ok", "Whether the database can be written.", spine.writer.health.ok)
    _set(registry, "genai_worker_dead", "Whether others declared this process dead.", spine.keeper.dead.is_set())
    _set(registry, "genai_requests_running", "Requests that this process runs now.", len(spine.engine.tasks))
    memory = psutil.Process().memory_info().rss
    _set(registry, "genai_process_resident_bytes", "Memory of this process.", memory)
    if spine.relay is not None:
        _set(registry, "genai_relay_ok", "Whether records can be published.", spine.relay.ok and front.broker.ok)
        _set(registry, "genai_relay_published", "Records published by this process.", spine.relay.published)
    if spine.intake is not None:
        _lanes(registry, spine)
    _shelves(registry, spine)
    if front.unread is not None and not front.unread.why:
        _unread(registry, front.unread)
    if facts is not None:
        _ledger(registry, facts, spine.metrics.names.all())
    return registry


def _set(registry: CollectorRegistry, name: str, words: str, value: float) -> None:
    Gauge(name, words, registry=registry).set(value)


def _lanes(registry: CollectorRegistry, spine: Spine) -> None:
    assert spine.intake is not None
    lag = Gauge("genai_lag_records", "Records in Kafka that the ledger does not have.", ["lane"], registry=registry)
    paused = Gauge("genai_lane_held", "Whether the lane's partitions are paused.", ["lane"], registry=registry)
    taken = Gauge("genai_lane_taken", "Records taken in by this process.", ["lane"], registry=registry)
    for lane, records in spine.intake.lag().items():
        lag.labels(lane).set(records)
    for state in spine.intake.lanes:
        paused.labels(state.name).set(state.held)
        taken.labels(state.name).set(state.taken)


def _shelves(registry: CollectorRegistry, spine: Spine) -> None:
    total = Gauge("genai_slots", "Slots of the pool, over all processes.", _POOL, registry=registry)
    busy = Gauge("genai_slots_busy", "Slots in use by this process.", _POOL, registry=registry)
    for pool, shelf in spine.engine.pools.shelves.items():
        labels = spine.metrics.names.of(pool)
        total.labels(*labels).inc(shelf.total)
        busy.labels(*labels).inc(len(shelf.busy))


def _unread(registry: CollectorRegistry, lag: Lag) -> None:
    """Of all partitions, whichever worker reads them."""
    age = Gauge("genai_unread_age_seconds", "Age of the oldest unread record.", ["lane"], registry=registry)
    words = "The share of its topic's retention that the oldest unread record has reached."
    share = Gauge("genai_unread_retention_ratio", words, ["lane"], registry=registry)
    for lane, name in enumerate(LANE_NAMES):
        age.labels(name).set(lag.age_s.get(lane, 0.0))
        share.labels(name).set(lag.retention.get(lane, 0.0))


def _ledger(registry: CollectorRegistry, facts: Facts, answered: Set[Pool]) -> None:
    """`answered`: here; the ledger is told a little later."""
    rows = Gauge("genai_waiting_requests", "Requests that wait in the ledger.", ["lane"], registry=registry)
    oldest = Gauge("genai_oldest_waiting_seconds", "Age of the oldest of them.", ["lane"], registry=registry)
    for lane, name in enumerate(LANE_NAMES):
        count, age = facts.waiting.get(lane, (0, 0.0))
        rows.labels(name).set(count)
        oldest.labels(name).set(age)
    _set(registry, "genai_held_requests", "Requests that wait for a human.", facts.held)
    _set(registry, "genai_outbox_records", "Records that wait to be published.", facts.outbox)
    total = Gauge("genai_slots_total", "Slots, over all processes.", _POOL, registry=registry)
    used = Gauge("genai_slots_used", "Slots leased, over all processes.", _POOL, registry=registry)
    known = own(((provider, model) for provider, model, *_ in facts.slots), facts.answered | answered)
    for provider, model, count, busy in facts.slots:
        labels = named((provider, model), known)
        total.labels(*labels).inc(count)
        used.labels(*labels).inc(busy)
    words = "Calls that wait for a batch at their provider, or lie in one."
    lying = Gauge("genai_batch_calls", words, ["provider", "state"], registry=registry)
    for provider, gone, count in facts.batched:
        lying.labels(provider, "in_batch" if gone else "waiting").set(count)
    _limits(registry, facts.limits, known)
    _budgets(registry, facts.budgets)


def _budgets(registry: CollectorRegistry, found: list[State]) -> None:
    """As they stand in their periods; where there are none there is no series. Those of single runs come and go: they have none."""
    limit = _of_budgets(registry, "genai_budget_limit_usd", "Dollars that a budget allows in its period.")
    spent = _of_budgets(registry, "genai_budget_spent_usd", "Dollars spent of it in its period.")
    words = "Dollars reserved of it for requests that have not ended."
    reserved = _of_budgets(registry, "genai_budget_reserved_usd", words)
    overrun = _of_budgets(registry, "genai_budget_overrun_usd", "Dollars spent that no reservation had foreseen.")
    refused = _of_budgets(registry, "genai_budget_refused", "Requests that it had no room for, in its period.")
    for state in (each for each in found if each.period != "run"):
        labels = (str(state.id), state.scope.words(), state.period, str(state.hard).lower())
        limit.labels(*labels).set(state.limit_nano / 1e9)
        spent.labels(*labels).set(state.spent_nano / 1e9)
        reserved.labels(*labels).set(state.reserved_nano / 1e9)
        overrun.labels(*labels).set(state.overrun_nano / 1e9)
        refused.labels(*labels).set(state.refused)


def _of_budgets(registry: CollectorRegistry, name: str, words: str) -> Gauge:
    return Gauge(name, words, ["budget", "whose", "period", "hard"], registry=registry)


def _limits(registry: CollectorRegistry, found: Limits, known: Collection[Pool]) -> None:
    """A pool or node that nothing limits has no series. Of pools without a name of their own the most limited one is shown."""
    words = "Calls in flight at most, over all processes, where the provider has refused more."
    ceiling = Gauge("genai_pool_ceiling", words, _POOL, registry=registry)
    words = "Seconds that no call of the pool may begin, because its provider has asked to wait."
    paused = Gauge("genai_pool_pause_seconds", words, _POOL, registry=registry)
    words = "Refusals in a row at a node's door; from five on it is shut, and tried with one call every ten seconds."
    refusals = Gauge("genai_node_refusals", words, ["provider", "node"], registry=registry)
    for each, state in sorted(found.pools.items(), key=lambda one: -(one[1].ceiling or 0.0)):
        if state.ceiling is not None:
            ceiling.labels(*named(each, known)).set(state.ceiling)
    for each, state in sorted(found.pools.items(), key=lambda one: one[1].paused_until):
        if state.paused_until > found.at:
            paused.labels(*named(each, known)).set(state.paused_until - found.at)
    for place, door in found.doors.items():
        refusals.labels(*place).set(door.failures)
