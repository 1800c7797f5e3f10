"""`/v1/budgets`: set, looked at, removed."""

from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from schemas.errors import ErrorType
from store.ledger import budgets as ledger
from store.ledger.budgeting import State
from streams import budgets
from streams.decode import sentence
from streams.web.bodies import read_object
from streams.web.front import Front
from streams.web.looking import read
from streams.web.problems import Problem, answering
from streams.web.queries import told
from streams.web.replies import json

_MOST = 64 * 1024


async def listed(front: Front, request: Request) -> Response:
    """Every budget as it stands: its limit, what is spent, reserved and left, and when it begins anew."""
    told(request, ())
    found = await read(front.parts(), ledger.standing)
    return json({"items": [budgets.told(state) for state in found]})


async def shown(front: Front, request: Request) -> Response:
    """One budget with its history, the newest first."""
    told(request, ())
    id_ = _id(request)
    found = await read(front.parts(), lambda conn: (ledger.standing(conn, id_), ledger.history(conn, id_)))
    if not found[0]:
        raise _missing(request)
    return json(budgets.told(found[0][0]) | {"history": [budgets.line(row) for row in found[1]]})


async def put(front: Front, request: Request) -> Response:
    """Make a budget, or change the one of the same tenant, key, model, run and period."""
    told(request, ())
    spine = front.parts()
    try:
        wanted = budgets.Budget.model_validate(await read_object(request, _MOST))
    except ValidationError as error:
        raise Problem(422, f"{sentence(error)}.") from None
    made = await _written(budgets.put(spine.database, wanted.wanted(spine.settings.default_tenant), "http"))
    assert made is not None
    return json(budgets.told(made))


async def remove(front: Front, request: Request) -> Response:
    """Remove a budget: it concerns no request any more. Its history stays."""
    told(request, ())
    gone = await _written(budgets.remove(front.parts().database, _id(request), "http"))
    if gone is None:
        raise _missing(request)
    return json(budgets.told(gone) | {"removed": True})


async def _written(work: Any) -> State | None:
    with answering():
        found: State | None = await work
    return found


def _id(request: Request) -> int:
    given = str(request.path_params["budget"])
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise _missing(request)
    return int(given)


def _missing(request: Request) -> Problem:
    given = str(request.path_params["budget"])[:100]
    return Problem(404, f"There is no budget {given!r}; GET /v1/budgets lists them.", error=ErrorType.INVALID_REQUEST)
