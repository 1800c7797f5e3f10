"""What is asked over HTTP, as values: nothing here touches the network, so both faces share all of it."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from genai_spine_client.answers import Reader, result_or_standing
from genai_spine_client.retries import Again
from genai_spine_client.schemas import answers as told
from genai_spine_client.schemas import books
from genai_spine_client.schemas.request import Options
from genai_spine_client.schemas.result import Result
from genai_spine_client.schemas.runs import Run

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
LONGEST_WAIT_S = 25.0
"""How long one HTTP request waits for an answer; proxies cut what waits for a minute."""
Priority = Literal["realtime", "normal", "low", "batch"]
Lane = Literal["realtime", "normal", "batch"]


class Asking(TypedDict, total=False):
    """What every operation takes beside its input; `timeout`: seconds until this client gives up waiting.

    `more`: fields of the input that a newer server knows and this client does not.
    """

    id: str
    tenant: str
    idempotency_key: str
    supersede_key: str
    run_id: str
    deadline: datetime | str
    metadata: Mapping[str, Any]
    provider: str
    model: str
    temperature: float
    max_tokens: int
    timeout_s: float
    cache: Literal["use", "refresh", "off"]
    resource: Literal["any", "gpu"]
    ordered: bool
    on_ambiguous: Literal["retry", "fail", "hold"]
    tier: Literal["auto", "standard", "flex", "batch"]
    lane: Lane
    timeout: float | None
    more: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One HTTP request, how its answer is read, and when it may be made again."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    again: Again = Again.ALWAYS
    wait_s: float = 0.0


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not None: what is left out stays as the server has it. Moments and models become JSON."""
    return {name: _plain(value) for name, value in fields.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True, by_alias=True)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def newquoted() -> str:
    """An id that nobody else has."""
    return uuid.uuid4().hex


def record(input_: Mapping[str, Any], asking: Mapping[str, Any]) -> dict[str, Any]:
    """A request as the contract writes it, for HTTP and for Kafka. With an id, so that sending it again is the same request."""
    options = given({name: asking.get(name) for name in Options.model_fields})
    rest = ("tenant", "idempotency_key", "supersede_key", "run_id", "deadline", "metadata")
    made = {"id": asking.get("id") or newquoted(), "input": given({**input_, **asking.get("more", {})})}
    return made | given({name: asking.get(name) for name in rest}) | ({"options": options} if options else {})


def asked(operation: str, made: dict[str, Any], lane: str | None, wait_s: float) -> Call[Result | told.Standing]:
    """An operation, waited for as long as one HTTP request should wait."""
    query = given({"wait": round(wait_s, 3), "lane": lane})
    return Call("POST", f"/v1/{operation}", result_or_standing, query, made, wait_s=wait_s)


def keyed(made: dict[str, Any]) -> dict[str, Any]:
    """With an idempotency key, the id's own where nobody chose one: a caller whose connection breaks cancels nothing."""
    return {"idempotency_key": f"client-{made['id']}"} | made


def looked(standing: told.Standing) -> Call[Result | told.Standing]:
    """The same request again, by its identity."""
    query = {"tenant": standing.tenant, "operation": standing.operation}
    return Call("GET", f"/v1/requests/{quoted(standing.request_id)}", result_or_standing, query)


def one_request(id_: str, tenant: str | None, operation: str | None) -> Call[Result | told.Standing]:
    """Its result, or where it stands."""
    return Call(
        "GET", f"/v1/requests/{quoted(id_)}", result_or_standing, given({"tenant": tenant, "operation": operation})
    )


def requests(**filters: Any) -> Call[told.RequestPage]:
    """A page of requests, newest first."""
    return Call("GET", "/v1/requests", Reader(told.RequestPage), given(filters))


def cancel_request(id_: str, tenant: str | None, operation: str | None) -> Call[told.Cancelled]:
    """Asking again is harmless."""
    query = given({"tenant": tenant, "operation": operation})
    return Call("POST", f"/v1/requests/{quoted(id_)}/cancel", Reader(told.Cancelled), query)


def new_run(body: Mapping[str, Any], wait_s: float) -> Call[Run]:
    """Submitted once, however often: its idempotency key sees to that."""
    made = given(body)
    made.setdefault("idempotency_key", f"client-{newquoted()}")
    return Call("POST", "/v1/runs", Reader(Run), {"wait": wait_s} if wait_s else {}, made, wait_s=wait_s)


def one_run(id_: str, tenant: str | None, wait_s: float = 0.0) -> Call[Run]:
    """How it stands, after so many seconds at most."""
    query = given({"tenant": tenant, "wait": round(wait_s, 3) or None})
    return Call("GET", f"/v1/runs/{quoted(id_)}", Reader(Run), query, wait_s=wait_s)


def runs(**filters: Any) -> Call[told.RunPage]:
    """A page of runs, newest first."""
    return Call("GET", "/v1/runs", Reader(told.RunPage), given(filters))


def items(id_: str, **filters: Any) -> Call[told.ItemPage]:
    """A page of its items, in the order of the input."""
    return Call("GET", f"/v1/runs/{quoted(id_)}/items", Reader(told.ItemPage), given(filters))


def cancel_run(id_: str, tenant: str | None) -> Call[told.RunCancelled]:
    """One flag; asking again is harmless."""
    return Call("POST", f"/v1/runs/{quoted(id_)}/cancel", Reader(told.RunCancelled), given({"tenant": tenant}))


def retry_run(id_: str, tenant: str | None, budget_usd: Decimal | str | None = None) -> Call[told.RunRetried]:
    """Only what did not succeed. Asked twice, the second is told that it has not ended."""
    query = given({"tenant": tenant, "budget_usd": None if budget_usd is None else str(budget_usd)})
    return Call("POST", f"/v1/runs/{quoted(id_)}/retry", Reader(told.RunRetried), query, again=Again.UNTAKEN)


def prompt(
    method: str,
    name: str | None,
    below: str,
    model: type[M],
    *,
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    revision: int | None = None,
    who: str | None = None,
) -> Call[M]:
    """A look at the registry, or a change of it. A change is made again only when surely nothing was taken."""
    headers = given({"if-match": None if revision is None else f'"{revision}"', "x-genai-user": who})
    path = "/v1/prompts" if name is None else f"/v1/prompts/{quote(name, safe='')}{below}"
    pure = method == "GET" or below == "/render"
    return Call(
        method,
        path,
        Reader(model),
        given(query or {}),
        None if body is None else given(body),
        headers,
        Again.ALWAYS if pure else Again.UNTAKEN,
    )


def usage(**filters: Any) -> Call[books.Usage]:
    """Every call that ended, grouped."""
    return Call("GET", "/v1/usage", Reader(books.Usage), given(filters))


def costs(**filters: Any) -> Call[books.Costs]:
    """The days' costs."""
    return Call("GET", "/v1/costs", Reader(books.Costs), given(filters))


def models() -> Call[told.ModelList]:
    """What can be called now."""
    return Call("GET", "/v1/models", Reader(told.ModelList))


def quoted(id_: str) -> str:
    """Ids may hold slashes; those stay."""
    return quote(id_, safe="/")
