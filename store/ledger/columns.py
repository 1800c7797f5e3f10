"""What a new row is made of: the columns of a request that comes, or comes anew, before anything is known of whom it waits for."""

import math
from typing import Any

from store.ledger import behind, patience
from store.ledger.types.arrivals import Arrival, Ask
from store.ledger.types.records import Routes


def of_arrival(arrival: Arrival, ask: Ask, state: str, routes: Routes, at: float) -> dict[str, Any]:
    """All but its key, its identity, its generation and its fence, which a row that begins anew has already."""
    return {
        **_asked(ask, state),
        **_origin(arrival, ask, routes, at),
        "accepted_at": at,
        "started_at": None,
        "completed_at": at if ask.failure is not None else None,
        **_waiting(ask, at),
    }


def _asked(ask: Ask, state: str) -> dict[str, Any]:
    return {
        "tenant": ask.tenant,
        "operation": ask.operation,
        "id": ask.id,
        "state": state,
        "owner": None,
        "lane": ask.lane,
        "provider": ask.provider,
        "model": ask.model,
        "paid": ask.paid,
        "on_ambiguous": ask.on_ambiguous,
        "not_before": 0.0,
        "deadline": ask.deadline,
        "attempts": 0,
        "deaths_calling": 0,
        "deaths_leased": 0,
        "ambiguous": 0,
        "cancel": False,
        "payload_hash": ask.payload_hash,
        "error_type": None if ask.failure is None else ask.failure.type.value,
        "run_id": ask.run_id,
        "idempotency_key": ask.idempotency_key,
        "supersede_key": ask.supersede_key if ask.failure is None else None,
        "follows": None,
        "ordered": ask.ordered,
        "budgets": None,
        "budget_nano": None,
    }


def _origin(arrival: Arrival, ask: Ask, routes: Routes, at: float) -> dict[str, Any]:
    """Where it comes from; where its result goes to follows from that."""
    p = arrival.position
    key = ask.id.encode() if arrival.key is None else arrival.key
    return {
        "key": arrival.key,
        "partition": p.partition if p else routes.partition(routes.results, key),
        "source_topic": p.topic if p else None,
        "source_partition": p.partition if p else None,
        "source_offset": p.offset if p else None,
        "source_timestamp": p.timestamp if p else None,
        "requested_at": p.timestamp / 1000 if p else at,
    }


def _waiting(ask: Ask, at: float) -> dict[str, Any]:
    return {
        "pinned": ask.pinned,
        "behind": behind.NONE,
        "order_key": None,
        "turn": 0,
        "idem": None,
        "followers": 0,
        "fingerprint": None,
        "answer_bytes": None,
        "alone": ask.alone,
        "caller": ask.caller if ask.alone else None,
        "due": min(at + ask.patience_s, math.inf if ask.deadline is None else ask.deadline),
        "weight": ask.weight,
        "quiet": ask.quiet,
        "streamed": ask.streamed,
        "response": ask.response,
        "route": ask.route,
        "move_at": patience.until(at, ask.wait_s, ask.deadline),
        "superseded_by": None,
        "key_id": ask.key_id,
    }
