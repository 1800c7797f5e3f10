"""Keys of callers. The ledger knows a digest of each, never the key; who it was made for it does not tell.

A key's id outlives its rotations, so that what is counted by key goes on. Rows are never deleted: an id in the ledger
stays explained, and revoking the last key does not open the door again.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from store import rows
from store.database import now
from store.tables import api_keys

_K = api_keys.c
_VERSIONS = 1 << 31
Fate = Literal["done", "unknown", "revoked"]


@dataclass(frozen=True, slots=True)
class Secret:
    """What the ledger keeps of a key."""

    prefix: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Wish:
    """What a key is made for."""

    name: str
    tenant: str | None
    scopes: Mapping[str, Any]
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    lives_s: float | None = None


def create(conn: Connection, id_: str, secret: Secret, wish: Wish) -> Row[Any]:
    """A new key; its row."""
    at = now(conn)
    values = {
        "id": id_,
        "prefix": secret.prefix,
        "digest": secret.digest,
        "name": wish.name,
        "tenant": wish.tenant,
        "scopes": orjson.dumps(wish.scopes),
        "rpm": wish.rpm,
        "tpm": wish.tpm,
        "concurrency": wish.concurrency,
        "made_at": at,
        "expires_at": None if wish.lives_s is None else at + wish.lives_s,
        "version": secrets.randbelow(_VERSIONS),
    }
    conn.execute(insert(api_keys), values)
    return conn.execute(select(api_keys).where(_K.id == id_)).one()


def rotate(conn: Connection, id_: str, secret: Secret, overlap_s: float) -> tuple[Fate, Row[Any] | None]:
    """Another secret under the same id; the one before works for `overlap_s` more, one before that no longer."""
    found = conn.execute(select(api_keys).where(_K.id == id_).with_for_update()).one_or_none()
    if found is None or found.revoked_at is not None:
        return ("unknown" if found is None else "revoked"), found
    at = now(conn)
    values = {
        "prefix": secret.prefix,
        "digest": secret.digest,
        "old_prefix": found.prefix,
        "old_digest": found.digest,
        "old_until": at + overlap_s,
        "rotated_at": at,
        "version": secrets.randbelow(_VERSIONS),
    }
    conn.execute(update(api_keys).where(_K.id == id_).values(values))
    return "done", conn.execute(select(api_keys).where(_K.id == id_)).one()


def revoke(conn: Connection, id_: str) -> tuple[Fate, Row[Any] | None]:
    """From now on it is nobody's key; a second time changes nothing."""
    found = conn.execute(select(api_keys).where(_K.id == id_).with_for_update()).one_or_none()
    if found is None or found.revoked_at is not None:
        return ("unknown" if found is None else "revoked"), found
    values = {"revoked_at": now(conn), "version": secrets.randbelow(_VERSIONS)}
    conn.execute(update(api_keys).where(_K.id == id_).values(values))
    return "done", conn.execute(select(api_keys).where(_K.id == id_)).one()


def every(conn: Connection) -> Sequence[Row[Any]]:
    """All of them, the newest first."""
    return conn.execute(_EVERY).all()


def version(conn: Connection) -> tuple[int, int]:
    """Another one after each change of any key; cheap, asked for every second."""
    count, total = conn.execute(_VERSION).one()
    return int(count), int(total or 0)


def used(conn: Connection, moments: Mapping[str, float]) -> None:
    """When keys were used last; never back."""
    rows.many(conn, _USED, [{"the_id": id_, "at": at} for id_, at in sorted(moments.items())])


def find(conn: Connection, wanted: str) -> Row[Any] | None:
    """By its id, or by what is shown of it."""
    return conn.execute(_FIND, {"wanted": wanted}).one_or_none()


_EVERY = select(api_keys).order_by(_K.made_at.desc(), _K.id)
_VERSION = select(func.count(), func.sum(_K.version)).select_from(api_keys)
_FIND = select(api_keys).where((_K.id == bindparam("wanted")) | (_K.prefix == bindparam("wanted")))
_USED = (
    update(api_keys)
    .where(_K.id == bindparam("the_id"), (_K.used_at.is_(None)) | (_K.used_at < bindparam("at")))
    .values(used_at=bindparam("at"))
)
