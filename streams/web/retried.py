"""What a run that is retried may spend, and which of its items wait until there is room for them."""

from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Row

from schemas.money import to_nano, to_usd
from schemas.runs import Dollars
from store.runs import money, write
from streams.decode import sentence
from streams.runs import parts
from streams.runs.pipelines import KIND
from streams.web.problems import Problem

_DOLLARS: TypeAdapter[Any] = TypeAdapter(Dollars)


def limit(row: Row[Any], given: str | None) -> int | None:
    """All that it may cost, in nano-dollars: as said now, else as before; None: nothing bounds it. Raises `Problem` 422."""
    if given is None:
        return None if row.budget_nano is None else int(row.budget_nano)
    try:
        nano = to_nano(_DOLLARS.validate_python(given))
    except ValidationError as error:
        raise Problem(422, f"{sentence(error, 'budget_usd')}.") from None
    if nano <= row.cost_nano:
        spent = to_usd(row.cost_nano)
        raise Problem(
            422, f"budget_usd={given} is spent: the run has cost {spent} dollars already; name what all of it may cost."
        )
    return nano


def allow(conn: Connection, row: Row[Any], nano: int | None) -> None:
    """Its items may be called again, for so much together with what they have cost."""
    if nano is not None:
        money.bound(conn, row.tenant, row.id, nano)
    write.allow(conn, row.tenant, row.id)


def waiting(conn: Connection, row: Row[Any], after: int, limit: int | None) -> set[int]:
    """Of the items behind `after` those that its own budget had refused: whoever owns the run asks them when there is room. None of a
    pipeline's, as its steps begin anew.
    """
    if limit is None or row.kind == KIND:
        return set()
    return {each.pk for each in money.refused(conn, row.tenant, row.id, after, parts.MOST)[0]}
