"""`GET /v1/queue`: what waits, how fast it is answered, and when; and the same of one request."""

import orjson
from starlette.requests import Request
from starlette.responses import Response

from streams import queueing
from streams.web import looking, queries, showing
from streams.web.front import Front
from streams.web.principal import own
from streams.web.problems import Problem
from streams.web.replies import json, tagged


async def queue(front: Front, request: Request) -> Response:
    """What waits in Kafka and in the ledger, what runs, measured rates, estimates: `?provider=&model=&lane=&tenant=`."""
    front.parts()
    try:
        wanted = queueing.wanted(own(request, queries.told(request, queueing.FILTERS)))
    except ValueError as error:
        raise Problem(422, str(error)) from None
    lag, found = await front.looker.lag(), await looking.backlog_of(front)
    return tagged(request, orjson.dumps(queueing.report(found, lag, wanted)))


async def one_place(front: Front, request: Request) -> Response:
    """Position and estimate of one unfinished request; 409 for one that has ended."""
    row, _ = await looking.find(front, request)
    if row.body is not None:
        raise Problem(409, showing.ended(row.id, row.state), state=row.state, status_url=looking.status_url_of(row))
    return json({"request_id": row.id, "state": row.state, **await looking.place(front, row)})
