"""`GET /v1/routes` and `POST /v1/routes/explain`: what names stand for, and where one request would go. Nothing is called."""

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from agents import OPERATIONS
from streams import explaining
from streams.decode import envelope
from streams.explaining import Question
from streams.providing import make_prices
from streams.web import asking
from streams.web.bodies import read_object
from streams.web.front import Front
from streams.web.problems import Problem, answering
from streams.web.queries import told
from streams.web.replies import json


async def routes(front: Front, request: Request) -> Response:
    """The routes as this process uses them now, and whether their file is in order."""
    told(request, ())
    spine = front.parts()
    file = {"ok": spine.named.ok, "why": spine.named.why}
    return json({"routes": explaining.shown(spine.decoder.router.table), "file": file})


async def explain(front: Front, request: Request) -> Response:
    """Where this request would go: each target, whether it is taken, why not, and what it may cost. No model is called."""
    spine = front.parts()
    lane = asking.lane_of(told(request, ("lane",)).get("lane", "normal"))
    body = await read_object(request, spine.settings.request_max_bytes)
    operation, key = body.pop("operation", "complete"), body.pop("key", None)
    if not isinstance(operation, str) or operation.replace("-", "_") not in OPERATIONS:
        raise asking.unknown(str(operation)[:100])
    if key is not None and not isinstance(key, str):
        raise Problem(422, "`key` is the record's key, a text.")
    asked = Question(
        operation.replace("-", "_"),
        envelope(body),
        lane,
        spine.settings.default_tenant,
        None if key is None else key.encode(),
    )
    explain = partial(explaining.explain, asked, spine.decoder, make_prices(spine.settings))
    with answering():
        found: dict[str, Any] = await spine.registry.decoded(explain)
    return json(await explaining.checked(found, spine.decoder.router))
