"""`GET /v1/requests`: newest first, a page at a time."""

from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from store.ledger import pages
from streams import requested
from streams.web import cursors, queries
from streams.web.front import Front
from streams.web.looking import read
from streams.web.principal import own
from streams.web.problems import Problem
from streams.web.replies import tagged
from streams.web.showing import item

MOST, USUAL = 500, 50
PARAMETERS = (*requested.FILTERS, "status", "limit", "cursor")


async def requests(front: Front, request: Request) -> Response:
    """Requests, newest first: `?state=&operation=&tenant=&lane=&run_id=&from=&to=&limit=&cursor=`."""
    spine = front.parts()
    told = _one_state(own(request, queries.told(request, PARAMETERS)))
    limit = queries.whole("limit", told.pop("limit", None), USUAL, MOST)
    given = told.pop("cursor", None)
    list_ = f"requests {orjson.dumps(sorted(told.items())).decode()}"
    try:
        wanted = requested.wanted(told)
        after = None if given is None else cursors.place(list_, given)
    except cursors.Foreign as error:
        raise Problem(400, str(error)) from None
    except ValueError as error:
        raise Problem(422, str(error)) from None
    found: pages.Page = await read(spine, lambda conn: pages.page(conn, wanted, after, limit))
    next_ = None if found.next is None else cursors.cursor(list_, found.next)
    body = {"items": [item(row) for row in found.rows], "next": next_}
    return tagged(request, orjson.dumps(body), headers=_link(told, limit, next_))


def _one_state(told: dict[str, str]) -> dict[str, str]:
    """`status` is another name of `state`."""
    status = told.pop("status", None)
    if status is not None and told.setdefault("state", status) != status:
        raise Problem(422, "state and status are two names of one filter; give one of them.")
    return told


def _link(told: dict[str, str], limit: int, next_: str | None) -> dict[str, str]:
    """RFC 8288, for clients that follow it."""
    if next_ is None:
        return {}
    query = urlencode({**told, "limit": limit, "cursor": next_})
    return {"Link": f'</v1/requests?{query}>; rel="next"'}
