"""How many unfinished requests a key has: its rows are the count, so no crash loses or keeps a place."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from store import rows
from store.ledger.types.arrivals import Arrival, Ask
from store.tables import KEYED, api_keys, requests

_R = requests.c
_K = api_keys.c


def lock(conn: Connection, arrivals: Sequence[Arrival]) -> None:
    """Before any row is locked: two processes that bring requests of one bounded key count one after the other."""
    if (keys := _bounded(arrivals)) and conn.dialect.name != "sqlite":
        asked = select(_K.id).where(_K.id.in_(rows.padded(keys))).order_by(_K.id)
        conn.execute(asked.with_for_update(key_share=True)).all()


def counts(conn: Connection, arrivals: Sequence[Arrival]) -> Counter[str]:
    """By key, of those that are bounded; nothing is asked where none is. One that is held waits for a person and not for a
    model: it takes no place.
    """
    if not (keys := _bounded(arrivals)):
        return Counter()
    asked = select(_R.key_id, func.count()).where(KEYED, _R.key_id.in_(rows.padded(keys)), _R.state != "held")
    return Counter({key: int(count) for key, count in conn.execute(asked.group_by(_R.key_id))})


def takes(crowds: Counter[str], ask: Ask) -> bool:
    """Whether there is room for one more, which then is counted."""
    if ask.key_id is None or ask.most_at_once is None or ask.failure is not None:
        return True
    if crowds[ask.key_id] >= ask.most_at_once:
        return False
    crowds[ask.key_id] += 1
    return True


def _bounded(arrivals: Sequence[Arrival]) -> list[str]:
    asks = [arrival.what for arrival in arrivals if isinstance(arrival.what, Ask)]
    return sorted({ask.key_id for ask in asks if ask.key_id is not None and ask.most_at_once is not None})
