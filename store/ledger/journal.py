"""The books: how calls end, what the day cost, which usage events go out. A call is booked once; its first closing stands."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from schemas.money import to_usd
from schemas.usage import Price, UsageEvent
from store import rows
from store.ledger.answers import OutRow, moment
from store.ledger.types.claims import Claimed
from store.ledger.types.records import Routes
from store.ledger.types.steps import Call, Closing
from store.quick import quick
from store.tables import daily_costs, executions, numbers


@dataclass(frozen=True, slots=True)
class Owed:
    """A closing with the request that it belongs to."""

    request_id: str
    operation: str
    tenant: str
    run_id: str | None
    provider: str
    model: str
    closing: Closing


_CLOSE = update(executions).where(executions.c.id == bindparam("the_id"), executions.c.outcome.is_(None))
_OPEN = rows.upserting(executions, lambda statement: statement.on_conflict_do_nothing())
_STILL_OPEN = (
    select(executions.c.id, executions.c.budgets)
    .where(executions.c.id.in_(bindparam("ids", expanding=True)), executions.c.outcome.is_(None))
    .order_by(executions.c.id)
    .with_for_update()
)
_SUMMED = ("calls", "input_tokens", "output_tokens", "cached_tokens", "cost_nano", "unpriced_calls")
_ADD_TO_DAY = rows.upserting(
    daily_costs,
    lambda statement: statement.on_conflict_do_update(
        index_elements=["date", "provider", "model", "tenant"],
        set_={name: daily_costs.c[name] + statement.excluded[name] for name in _SUMMED},
    ),
)
_COUNT_ON = rows.upserting(
    numbers,
    lambda statement: statement.on_conflict_do_update(
        index_elements=["topic", "partition"], set_={"last": numbers.c.last + statement.excluded.last}
    ).returning(numbers.c.last),
)


quick(_CLOSE, _STILL_OPEN)


def open_calls(conn: Connection, opened: Sequence[tuple[Claimed, Call]], at: float) -> None:
    """The journal's intents; committed before the first byte leaves."""
    rows.many(
        conn, _OPEN(conn), (_intent(claim, call, at) for claim, call in opened)
    )  # or the same commit, tried again


def _intent(claim: Claimed, call: Call, at: float) -> dict[str, Any]:
    return {
        "id": call.id,
        "request_pk": claim.pk,
        "generation": claim.generation,
        "number": call.number,
        "attempt": claim.attempts,
        "fence": claim.fence,
        "tenant": claim.tenant,
        "operation": claim.operation,
        "kind": call.kind,
        "prompt": call.prompt,
        "prompt_version": call.prompt_version,
        "provider": claim.provider,
        "node": call.node,
        "model": claim.model,
        "input_hash": call.input_hash,
        "estimate_tokens": call.estimate_tokens,
        "estimate_output": call.estimate_output,
        "estimate_nano": call.estimate_nano,
        "price_source": call.price_source,
        "price_version": call.price_version,
        "budgets": call.budgets,
        "opened_at": at,
    }


def still_open(conn: Connection, ids: Sequence[str]) -> dict[str, str | None]:
    """Which of these calls nobody has closed yet, locked, and the budgets that their costs are counted under."""
    if not ids:
        return {}
    return {row.id: row.budgets for row in conn.execute(_STILL_OPEN, {"ids": rows.padded(ids)})}


def close_calls(conn: Connection, routes: Routes, owed: Sequence[Owed], at: float) -> list[OutRow]:
    """Close open calls: journal and the day's costs; and the usage events that are to be published with them."""
    rows.many(conn, _CLOSE, (_closed(o.closing, at) for o in owed))
    return book(conn, routes, [o for o in owed if o.closing.event], at)


def book(conn: Connection, routes: Routes, events: Sequence[Owed], at: float) -> list[OutRow]:
    """Into the day's costs, and as the usage events that are to be published with them."""
    if not events:
        return []
    _add_to_day(conn, events, at)
    return _numbered(conn, [event(routes, o, at) for o in events])


def _closed(closing: Closing, at: float) -> dict[str, Any]:
    return {
        "the_id": closing.call.id,
        "node": closing.call.node,
        "outcome": closing.outcome,
        "input_tokens": closing.input_tokens,
        "output_tokens": closing.output_tokens,
        "cached_tokens": closing.cached_tokens,
        "cache_write_tokens": closing.cache_write_tokens,
        "cache_write_1h_tokens": closing.cache_write_1h_tokens,
        "reasoning_tokens": closing.reasoning_tokens,
        "tier": closing.tier or None,
        "estimated": closing.estimated,
        "gpu_seconds": closing.gpu_seconds,
        "cost_nano": closing.cost_nano,
        "latency_ms": closing.latency_ms,
        "error_type": closing.error_type,
        "error": None if closing.error is None else rows.plain(closing.error[:4000]),
        "answer": closing.answer,
        "closed_at": at,
    }


def _add_to_day(conn: Connection, events: Sequence[Owed], at: float) -> None:
    date = moment(at).date().isoformat()
    sums: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0, 0])
    for o in events:
        c = o.closing
        found = sums[o.provider, o.model, o.tenant]
        unpriced = c.cost_nano is None
        for i, more in enumerate(
            (int(c.corrects is None), c.input_tokens, c.output_tokens, c.cached_tokens, c.cost_nano or 0, int(unpriced))
        ):
            found[i] += more
    rows.many(
        conn,
        _ADD_TO_DAY(conn),
        (
            {"date": date, "provider": p, "model": m, "tenant": t, **dict(zip(_SUMMED, found, strict=True))}
            for (p, m, t), found in sorted(sums.items())
        ),
    )


def add_to_days(conn: Connection, lines: Sequence[Mapping[str, Any]]) -> None:
    """Rows of `daily_costs`, in their order, each to what stands there."""
    rows.many(conn, _ADD_TO_DAY(conn), lines)


def event(routes: Routes, o: Owed, at: float) -> OutRow:
    """A usage event as a row of the outbox, without its place."""
    c = o.closing
    event = UsageEvent(
        id=c.call.id,
        request_id=o.request_id,
        operation=o.operation,
        tenant=o.tenant,
        run_id=o.run_id,
        provider=o.provider,
        model=o.model,
        kind=c.call.kind,
        input_tokens=c.input_tokens,
        output_tokens=c.output_tokens,
        cached_tokens=c.cached_tokens,
        estimated=c.estimated,
        gpu_seconds=c.gpu_seconds,
        cost_usd=to_usd(c.cost_nano),
        price=None
        if c.call.price_source is None
        else Price(source=c.call.price_source, version=c.call.price_version or ""),
        latency_ms=c.latency_ms,
        outcome=c.outcome,
        corrects=c.corrects,
        at=moment(at),
    )
    key = f"{o.provider}|{o.model}".encode()
    return {
        "topic": routes.usage,
        "partition": routes.partition(routes.usage, key),
        "number": None,
        "key": key,
        "value": event.model_dump_json().encode(),
        "headers": b"[]",
    }


def _numbered(conn: Connection, events: list[OutRow]) -> list[OutRow]:
    """Give each event its place in its partition. The counter's row stays locked until the commit, so that places are
    committed in their order and without gaps: a reader may drop whatever is not above the last place it has seen.
    """
    by_partition: dict[tuple[str, int], list[OutRow]] = defaultdict(list)
    for event in events:
        by_partition[event["topic"], event["partition"]].append(event)
    count_on = _COUNT_ON(conn)
    for (topic, partition), found in sorted(by_partition.items(), key=lambda item: item[0]):
        last = conn.execute(count_on, {"topic": topic, "partition": partition, "last": len(found)}).scalar_one()
        for number, event in enumerate(found, last - len(found) + 1):
            event["number"] = number
    return events
