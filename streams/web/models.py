"""`GET /v1/models`, as OpenAI's clients ask for it."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from providers import routes
from providers.marked import near
from schemas.errors import ErrorType
from streams import catalogue
from streams.providing import make_prices
from streams.web.front import Front
from streams.web.principal import Principal, principal_of
from streams.web.problems import Problem
from streams.web.queries import told
from streams.web.replies import tagged


async def models(front: Front, request: Request) -> Response:
    """What can be called now, in OpenAI's list shape; a provider that does not answer is named under `providers`."""
    told(request, ())
    return tagged(request, orjson.dumps(await _list(front, principal_of(request))))


async def one_model(front: Front, request: Request) -> Response:
    """One of them."""
    told(request, ())
    name = request.path_params["model"]
    listed = await _list(front, principal_of(request))
    for model in listed["data"]:
        if {name, f"{name}:latest"} & {model["id"], f"{model['owned_by']}/{model['id']}"}:
            return tagged(request, orjson.dumps(model))
    away = "".join(f" {each['why']}" for each in listed["providers"] if each["why"])
    ids = [model["id"] for model in listed["data"]]
    meant = near(name, ids)
    known = f"did you mean {' or '.join(meant)}?" if meant else f"there are {', '.join(ids[:50])}."
    raise Problem(404, f"There is no model {name!r}; {known}{away}", error=ErrorType.MODEL_NOT_FOUND)


async def _list(front: Front, who: Principal) -> dict[str, Any]:
    """What whoever asks may call; the rest is as unknown to them as what there is not."""
    spine = front.parts()
    router = spine.decoder.router
    listed = catalogue.told(await catalogue.sections(spine.providers), make_prices(spine.settings), router)
    listed["data"] = [each for each in listed["data"] if _may(who, router.table, each)]
    return listed


def _may(who: Principal, table: routes.Table, listed: Mapping[str, Any]) -> bool:
    """As a request is held against its key: a route's name lets all of its targets in, else each must be let in."""
    name, owner = listed["id"], listed["owned_by"]
    if owner != "route":
        return who.may("models", f"{owner}/{name.removeprefix(f'{owner}/')}")
    targets = routes.models(table, table.routes[name])
    return who.may("models", name) or all(who.may("models", str(each)) for each in targets)
