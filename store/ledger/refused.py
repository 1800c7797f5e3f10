"""What becomes of an arrival that the database refuses for its data, found alone at the end of the writer's halving."""

from collections.abc import Iterable
from dataclasses import replace

from schemas.errors import ErrorType, Failure
from store import rows
from store.errors import BadData
from store.ledger.types.arrivals import Arrival, Ask, Unreadable


def kept_instead(arrival: Arrival, error: Exception) -> Arrival | None:
    """What is kept instead of an arrival that the database refuses: a failed request if its name can be kept, else a
    dead letter; None: not even that can.
    """
    what = arrival.what
    words = f"the database cannot keep this request: {rows.plain(str(error))}"
    failure = Failure(
        type=ErrorType.INVALID_REQUEST if isinstance(error, BadData) else ErrorType.INTERNAL, message=words
    )
    if isinstance(what, Ask) and what.failure is None and _kept((what.tenant, what.operation, what.id)):
        asked = Ask(what.tenant, what.operation, what.id, what.payload_hash, failure=failure)
        return replace(arrival, what=asked)
    return None if isinstance(what, Unreadable) else replace(arrival, what=Unreadable(failure))


def ids(arrival: Arrival) -> dict[str, str]:
    """What its line in the log is told by; what the database said may quote the value itself, and is not logged."""
    what, at = arrival.what, arrival.position
    named = {"request_id": what.id, "tenant": what.tenant} if isinstance(what, Ask) else {}
    return named | ({} if at is None else {"place": f"{at.topic}/{at.partition}/{at.offset}"})


def _kept(names: Iterable[str]) -> bool:
    return all(rows.plain(name) == name for name in names)
