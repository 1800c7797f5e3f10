"""A newer request of the same (tenant, operation, supersede_key) takes the place of the older one.

At most one row per key stands (`superseded_by` is null), so that to find it reads one row of an index that holds no others.
Newer is what was accepted later: producers' clocks differ, and a correction that is taken for older would be lost.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, bindparam, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY

from schemas.result import Status
from store import rows
from store.ledger.end import CLAIMED, end_rows
from store.ledger.types.arrivals import Arrival, Ask
from store.ledger.types.records import Routes
from store.tables import STANDING, requests

Key = tuple[str, str, str]
"""(tenant, operation, supersede_key)."""

_R = requests.c
_NOT_BEGUN = ("waiting", "leased", "held")
_MARK = update(requests).where(_R.identity == bindparam("the_identity")).values(superseded_by=bindparam("the_newer"))
_LOCK = text("SELECT count(pg_advisory_xact_lock(one)) FROM unnest(:numbers) AS one").bindparams(
    bindparam("numbers", type_=ARRAY(BigInteger))
)


def keys_of(arrivals: Iterable[Arrival]) -> set[Key]:
    """Keys of the valid requests among these; most batches have none."""
    return {
        (ask.tenant, ask.operation, ask.supersede_key)
        for arrival in arrivals
        if isinstance(ask := arrival.what, Ask) and ask.supersede_key is not None and ask.failure is None
    }


def lock(conn: Connection, keys: Iterable[Key]) -> None:
    """Two writers that bring requests of one key go one after the other (PostgreSQL): neither would see the other's row.

    Before any row is locked, in one order.
    """
    conn.execute(_LOCK, {"numbers": sorted(_number(key) for key in keys)})


def _number(key: Key) -> int:
    return int.from_bytes(hashlib.blake2b("\0".join(key).encode(), digest_size=8).digest(), signed=True)


def standing(keys: Iterable[Key]) -> ColumnElement[bool]:
    """Rows that may be those that stand: of these names in any pairing. The index's own words, or it would not be used."""
    tenants, operations, names = (rows.padded(each) for each in zip(*keys, strict=True))
    return and_(STANDING, _R.supersede_key.in_(names), _R.tenant.in_(tenants), _R.operation.in_(operations))


def stands(conn: Connection, keys: set[Key]) -> dict[Key, dict[bytes, str]]:
    """Of each key the identities that stand, with their ids; locked."""
    if not keys:
        return {}
    wanted = select(_R.tenant, _R.operation, _R.supersede_key, _R.identity, _R.id).where(standing(keys))
    found: dict[Key, dict[bytes, str]] = {key: {} for key in keys}
    for tenant, operation, name, identity, id_ in conn.execute(wanted.order_by(_R.pk).with_for_update()):
        found.get((tenant, operation, name), {})[identity] = id_
    return found


def replace(conn: Connection, routes: Routes, newer: Mapping[bytes, str], at: float) -> None:
    """Each of these identities has a newer one, by its id: what has not begun ends, and what runs is only marked."""
    marks = [{"the_identity": identity, "the_newer": id_} for identity, id_ in sorted(newer.items())]
    rows.many(conn, _MARK, marks)
    wanted = select(_R.pk, _R.superseded_by).where(_R.identity.in_(rows.padded(newer)), _R.state.in_(_NOT_BEGUN))
    end(conn, routes, conn.execute(wanted).all(), at)


def end(conn: Connection, routes: Routes, found: Sequence[Any], at: float) -> None:
    """End rows (pk, superseded_by): nobody wants their answers any more."""
    if found:
        notes = {row.pk: note(row.superseded_by) for row in found}
        end_rows(conn, routes, CLAIMED.where(_R.pk.in_(rows.padded(notes))), Status.CANCELLED, None, at, notes=notes)


def note(newer: str) -> str:
    """The warning in the older one's result."""
    return f"superseded by the request {newer!r}"
