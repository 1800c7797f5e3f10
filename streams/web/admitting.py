"""A request at a door, held against whoever brings it: their tenant, their scopes, their limits. Every door asks here."""

from starlette.requests import Request

from schemas.errors import ErrorType
from store.ledger.types.arrivals import Accepted, Ask
from streams.web.front import Front
from streams.web.principal import principal_of
from streams.web.problems import Problem

_AGAIN_S = 1


async def admitted(front: Front, request: Request, what: Ask) -> Ask:
    """The request, as brought by its key. Raises `Problem`: 403, 429, 503."""
    who = principal_of(request)
    who.check(what)
    limits, key_id = who.limits, who.key_id
    if key_id is not None and limits.minute().bounds:
        request.state.minute = lambda: front.minutes.headers(key_id, limits)
        tokens = 0 if what.failure is not None else what.weight
        await front.minutes.take(front.parts().lending, key_id, limits, tokens)
    return who.stamped(what)


def check_room(what: Ask, found: Accepted) -> None:
    """Raises `Problem` 429 when its key has as many unfinished requests as it may."""
    if found.decision == "crowded":
        words = (
            f"This key may have {what.most_at_once} unfinished requests at a time, and has them. "
            "Nothing was taken; come again when one has ended."
        )
        raise Problem(429, words, error=ErrorType.RATE_LIMITED, headers={"Retry-After": str(_AGAIN_S)})
