"""Where a request would go, and why not elsewhere: the decision of its acceptance, told. No model is called and nothing is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError

from providers import tokens
from providers.calls import Spent
from providers.choosing import Decision, Told, Who
from providers.marked import near
from providers.prices import PriceTable
from providers.routes import Leg, Model, Route, Table
from schemas.errors import ErrorType, Failure
from schemas.money import to_usd
from schemas.request import Lane, Request
from store.ledger.types.arrivals import Ask
from streams import catalogue
from streams.choosing import Router

if TYPE_CHECKING:
    from streams.decode import Decoder

MAX_TOKENS = 512
"""What an answer is taken for that is bounded by nothing: what `complete` asks for."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request as its producer would write it, and what is not written in it. `key`: the record's."""

    operation: str
    record: Mapping[str, Any]
    lane: Lane = Lane.NORMAL
    tenant: str = "default"
    key: bytes | None = None


def explain(asked: Question, decoder: "Decoder", prices: PriceTable) -> dict[str, Any]:
    """`error` says why nothing would be queued; then nothing is `taken`."""
    decoder = replace(decoder, router=replace(decoder.router, skipped=lambda _route, _told: None))
    raw = orjson.dumps(asked.record)
    what = decoder.ask(asked.operation, asked.lane, raw, [], place="explained", tenant=asked.tenant, key=asked.key)
    if not isinstance(what, Ask):
        return _told(None, None, (), what.failure.model_dump(mode="json"))
    try:
        request = Request.model_validate(asked.record)
        operation = decoder.operations[asked.operation]
        input_ = operation.input.model_validate(request.input)
    except (ValidationError, KeyError):
        return _told(None, None, (), _error(what))
    router, size = decoder.router, _size(request, operation.tokens(input_))
    if not router.is_known(request):
        return _told(request.options.model, None, (), _error(what))
    found = router.named(operation, request)
    if isinstance(found, Model):
        looked = Decision(None, None, (), (_named(found, what),))
        name = None
    else:
        who = Who(
            operation.name, what.tenant, asked.lane.name.lower(), what.id, asked.key, request.input, request.metadata
        )
        looked, name = router.decide(found, operation, input_, request, who), found.name
    shown = [_target(each, decoder, prices, size) for each in looked.told]
    return _told(request.options.model, name, shown, _error(what), looked.arm)


async def checked(found: dict[str, Any], router: Router) -> dict[str, Any]:
    """The same, and of a model that the request names itself what its provider says of it, which is asked for its list: one that it
    surely has not would be refused when it is called.
    """
    if found["route"] is not None or found["taken"] is None:
        return found
    of, _, model = found["taken"].partition("/")
    section = await catalogue.section(router.providers[of])
    if section.why or not section.lacks(model):
        return found
    names = sorted(each.name for each in section.models)
    meant = list(dict.fromkeys([*near(model, names), *router.near(found["asked"] or model)]))
    words = f"{of} has no model `{model}`; there are {', '.join(names[:50])}."
    words += f" Did you mean {' or '.join(f'`{name}`' for name in meant)}?" if meant else ""
    if not section.whole:
        words = f"not listed, so only its call tells whether it is there: {words}"
        return found | {"targets": [each | {"why": words} for each in found["targets"]]}
    failure = Failure(type=ErrorType.MODEL_NOT_FOUND, message=words, details={"model": model, "models": names[:50]})
    refused = [each | {"taken": False, "why": words} for each in found["targets"]]
    return found | {"taken": None, "targets": refused, "error": failure.model_dump(mode="json")}


def _named(model: Model, what: Ask) -> Told:
    """The one model that a request names."""
    missing = tuple((what.failure.details.get("fields") or ()) if what.failure is not None else ())
    words = "" if what.failure is None else what.failure.message
    return Told(model, taken=what.failure is None, why=words, cannot=missing)


def _size(request: Request, length: int | None) -> tuple[int, int]:
    """Tokens in and out, guessed: of an operation that reads in parts, its whole input."""
    written = orjson.dumps(request.input).decode() if length is None else ""
    return length if length is not None else tokens.estimate(written), request.options.max_tokens or MAX_TOKENS


def _target(each: Told, decoder: "Decoder", prices: PriceTable, size: tuple[int, int]) -> dict[str, Any]:
    model, router = each.model, decoder.router
    output = 0 if router.kind_of(model) == "embed" else size[1]
    priced = prices.of(model.provider, model.model, Spent(size[0], output, estimated=True))
    return {
        "target": str(model),
        "taken": each.taken,
        "why": each.why,
        "cannot": list(each.cannot),
        "paid": router.providers[model.provider].traits.paid,
        "context_tokens": router.context(model),
        "wait_s": each.wait_s,
        "estimate": {"input_tokens": size[0], "output_tokens": output, "cost_usd": to_usd(priced.nano)},
    }


def _error(what: Ask) -> dict[str, Any] | None:
    return None if what.failure is None else what.failure.model_dump(mode="json")


def _told(
    asked: str | None, route: str | None, targets: Any, error: dict[str, Any] | None, arm: str | None = None
) -> dict[str, Any]:
    taken = next((each["target"] for each in targets if each["taken"]), None) if error is None else None
    return {"asked": asked, "route": route, "arm": arm, "taken": taken, "targets": list(targets), "error": error}


def shown(table: Table) -> list[dict[str, Any]]:
    """Each as it was written, with what was left out filled in."""
    return [_route(each) for each in table.routes.values()]


def _route(route: Route) -> dict[str, Any]:
    return {
        "name": route.name,
        "targets": [_leg(leg) | {"weight": leg.weight, "arm": leg.arm} for leg in route.targets],
        "fallbacks": [_leg(leg) for leg in route.fallbacks],
        "sticky": route.sticky,
        "fall_back_on": list(route.causes),
        "rate_limited_after_s": route.rate_limited_after_s,
        "max_waiting": route.max_waiting,
        "guards": list(route.guards),
        "tier": route.tier,
        "hedge": None if route.hedge is None else route.hedge.model_dump(),
    }


def _leg(leg: Leg) -> dict[str, Any]:
    when = None if leg.when is None else leg.when.model_dump(exclude_none=True)
    return {"model": str(leg.to), "when": when, "wait_s": leg.wait_s}
