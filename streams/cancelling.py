"""A cancel from the command line or over HTTP: whose it is, which way it goes, and what it found.

A change guesses no tenant: without one it is the default tenant's. Another tenant's request is as unknown as one that
nobody has sent, and is answered the same.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import orjson
from sqlalchemy import Connection

from store.ledger.types.arrivals import Accepted, CancelAsk
from streams import requested, security, topics
from streams.errors import SpineError
from streams.finding import named
from streams.settings import Settings

Outcome = Literal["cancelled", "stopping", "ended", "kept", "sent", "refused"]
Way = Literal["ledger", "http", "kafka"]

WELL: frozenset[str] = frozenset({"cancelled", "stopping", "kept", "sent"})
_NOT_BEGUN = frozenset({"waiting", "leased", "held", "cancelled"})
_SAYS: Mapping[str, str] = {
    "cancelled": "cancelled",
    "stopping": "its call is being aborted",
    "ended": "has ended before; nothing was cancelled",
    "kept": "not known yet; the cancel is kept a day and applied when it comes",
    "sent": "the cancel is in genai.control; a worker applies it",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """Requests of one tenant, or one of its runs."""

    ids: tuple[str, ...] = ()
    tenant: str | None = None
    operation: str | None = None
    run: str | None = None

    def checked(self) -> "Wish":
        """The same, if its names are names. Raises ValueError."""
        for name, values in (("id", self.ids), ("tenant", [self.tenant]), ("run_id", [self.run])):
            for value in values:
                requested.named(name, value)
        return self


class Unclear(SpineError):
    """The id alone does not say which request is meant; add its operation."""


def outcome(state: str | None) -> Outcome:
    """What a cancel did to a request that stood there; None: nobody knows it."""
    if state is None:
        return "kept"
    return "cancelled" if state in _NOT_BEGUN else "stopping" if state == "calling" else "ended"


def told(ask: CancelAsk, found: Accepted) -> dict[str, Any]:
    """For programs: the same over HTTP and from `genai-spine cancel --json`."""
    what = outcome(found.state)
    status = {"cancelled": "cancelled", "stopping": "unfinished", "kept": "unknown"}.get(what, found.state)
    return {"request_id": ask.id, "tenant": ask.tenant, "operation": ask.operation, "cancel": what, "status": status}


def told_run(run_id: str, tenant: str, unfinished: int | None, what: Outcome) -> dict[str, Any]:
    """`unfinished`: requests of the run that had not ended; None: nobody has counted."""
    return {"run_id": run_id, "tenant": tenant, "cancel": what, "unfinished": unfinished}


def line(told: Mapping[str, Any]) -> str:
    """One outcome for people."""
    if "run_id" in told:
        count = told["unfinished"]
        rest = "" if count is None else f"; {count} of its requests had not ended"
        return f"run {told['run_id']}: cancelled, and whatever of it comes later{rest}"
    says = told.get("why") or _SAYS[told["cancel"]]
    ended = f" ({told['status']})" if told["cancel"] == "ended" else ""
    return f"{told['operation'] or '?'} {told['request_id']}: {says}{ended}"


def operation_of(conn: Connection, settings: Settings, id_: str, tenant: str) -> list[str]:
    """The operations under which this tenant has sent that id."""
    return sorted(row.operation for row in named(conn, settings, id_, tenant, None))


def unclear(
    id_: str, tenant: str, operations: Sequence[str], option: str, tenant_option: str, *, kept: bool = True
) -> str:
    """Why an id alone does not name one request. `kept`: what is said is kept for one that is still to come."""
    if operations:
        return f"{len(operations)} requests have the id {id_!r}, of {' and '.join(operations)}: add {option}."
    words = f"Nobody knows a request {id_!r} of the tenant {tenant!r}. If it is another tenant's, add {tenant_option}"
    return f"{words}; if it is still to come, add {option}, and the cancel is kept for it." if kept else f"{words}."


async def through_ledger(settings: Settings, wish: Wish) -> list[dict[str, Any]]:
    """At once, whether anything serves or not. Raises SpineError (there is no ledger yet) and StoreError (it is away)."""
    from store.ledger import cancels
    from streams import lookup
    from streams.routing import make_routes

    tenant, routes = wish.tenant or settings.default_tenant, make_routes(settings, {})

    def work(conn: Connection) -> list[dict[str, Any]]:
        if wish.run is not None:
            unfinished = cancels.of_run(conn, tenant, wish.run)
            cancels.order(conn, routes, [CancelAsk(tenant, run_id=wish.run)], "cli")
            return [told_run(wish.run, tenant, unfinished, "cancelled")]
        return list(_in_ledger(conn, routes, settings, wish, tenant))

    async with lookup.opened(settings) as database:
        return await database.write(work)


def _in_ledger(conn: Connection, routes: Any, settings: Settings, wish: Wish, tenant: str) -> Iterable[dict[str, Any]]:
    """All at once, as the ledger locks them in its own order."""
    from store.ledger import cancels

    operations = {
        id_: [wish.operation] if wish.operation else operation_of(conn, settings, id_, tenant) for id_ in wish.ids
    }
    asks = {id_: CancelAsk(tenant, known[0], id_) for id_, known in operations.items() if len(known) == 1}
    found = dict(zip(asks, cancels.order(conn, routes, list(asks.values()), "cli"), strict=True))
    for id_, known in operations.items():
        if id_ in asks:
            yield told(asks[id_], found[id_])
        else:
            yield refused(id_, tenant, wish.operation, unclear(id_, tenant, known, "--operation", "--tenant"))


def refused(id_: str, tenant: str, operation: str | None, why: str) -> dict[str, Any]:
    """Nothing was done, and why."""
    return {
        "request_id": id_,
        "tenant": tenant,
        "operation": operation,
        "cancel": "refused",
        "status": "unknown",
        "why": why,
    }


def through_http(settings: Settings, wish: Wish, url: str | None) -> list[dict[str, Any]]:
    """By the door of whoever serves. Raises SpineError: nobody is there, or it refuses us. Blocking."""
    from streams import door

    tenant = wish.tenant or settings.default_tenant
    named_ = {"tenant": tenant} | ({"operation": wish.operation} if wish.operation else {})
    with door.opened(settings, url) as post:
        if wish.run is not None:
            return [post(f"/v1/runs/{quote(wish.run, safe='/')}/cancel", {"tenant": tenant})]
        return [_over_http(post, id_, tenant, wish.operation, named_) for id_ in wish.ids]


def _over_http(post: Any, id_: str, tenant: str, operation: str | None, params: Mapping[str, str]) -> dict[str, Any]:
    said = post(f"/v1/requests/{quote(id_, safe='/')}/cancel", params)
    if "cancel" in said:
        return dict(said)
    if "ended" in said:
        base = {"request_id": id_, "tenant": tenant, "operation": said["operation"]}
        return base | {"cancel": "ended", "status": said["ended"]}
    return refused(id_, tenant, operation, said["detail"])


async def through_kafka(bootstrap: str, settings: Settings, wish: Wish) -> list[dict[str, Any]]:
    """Into `genai.control`: what it finds is not known here. Raises SpineError."""
    from aiokafka.errors import KafkaError

    from streams.topics_admin import Unreachable

    tenant = wish.tenant or settings.default_tenant
    if wish.run is None and wish.operation is None:
        raise Unclear("Over Kafka an id alone names no request: add --operation.", exit_code=2)
    names = [wish.run] if wish.run is not None else list(wish.ids)
    records = [_record(wish, tenant, name) for name in names]
    try:
        await _produce(bootstrap, list(zip(names, records, strict=True)))
    except KafkaError as error:
        raise Unreachable(
            f"Kafka at {bootstrap} did not take the cancel ({error}). Sending it again is harmless."
        ) from error
    if wish.run is not None:
        return [told_run(wish.run, tenant, None, "sent")]
    base = {"tenant": tenant, "operation": wish.operation, "cancel": "sent", "status": "unknown"}
    return [{"request_id": id_, **base} for id_ in wish.ids]


def _record(wish: Wish, tenant: str, name: str) -> bytes:
    about = {"run_id": name} if wish.run is not None else {"operation": wish.operation, "id": name}
    return orjson.dumps({"action": "cancel", "tenant": tenant, **about})


async def _produce(bootstrap: str, records: Sequence[tuple[str, bytes]]) -> None:
    import aiokafka

    producer = aiokafka.AIOKafkaProducer(**security.client(bootstrap), enable_idempotence=True, acks="all")
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(producer.stop)
        await producer.start()
        for name, value in records:
            await producer.send_and_wait(topics.CONTROL, value, key=name.encode())
