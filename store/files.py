"""Files that were uploaded: kept in parts, never the whole in memory."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, insert, or_, select, update

from store.database import now
from store.runs.tables import file_parts, files

_F, _P = files.c, file_parts.c
UPLOADING, PROCESSED, DELETED = "uploading", "processed", "deleted"


@dataclass(frozen=True, slots=True)
class New:
    """A file as it was sent, without what is in it."""

    tenant: str
    id: str
    name: str
    purpose: str


def begin(conn: Connection, new: New) -> None:
    """Seen by nobody until it is whole."""
    values = {"tenant": new.tenant, "id": new.id, "name": new.name, "purpose": new.purpose}
    conn.execute(insert(files), values | {"status": UPLOADING, "bytes": 0, "created_at": now(conn)})


def add(conn: Connection, tenant: str, id_: str, number: int, data: bytes) -> None:
    """The next part."""
    row = {"tenant": tenant, "file_id": id_, "number": number, "body": zlib.compress(data, 1)}
    conn.execute(insert(file_parts), row)


def finish(conn: Connection, tenant: str, id_: str, size: int, name: str, purpose: str) -> None:
    """It is whole."""
    values = {"status": PROCESSED, "bytes": size, "name": name, "purpose": purpose}
    conn.execute(update(files).where(_F.tenant == tenant, _F.id == id_).values(**values))


def one(conn: Connection, tenant: str, id_: str) -> Row[Any] | None:
    """Deleted ones too: their status says so."""
    return conn.execute(select(files).where(_F.tenant == tenant, _F.id == id_, _F.status != UPLOADING)).first()


def newest(conn: Connection, tenant: str, name: str) -> Row[Any] | None:
    """Of those of that name, the last that was uploaded."""
    asked = select(files).where(_F.tenant == tenant, _F.name == name, _F.status == PROCESSED)
    return conn.execute(asked.order_by(_F.created_at.desc(), _F.id.desc()).limit(1)).first()


def part(conn: Connection, tenant: str, id_: str, number: int) -> bytes | None:
    """What is in a part; None: there is none of that number."""
    asked = select(_P.body).where(_P.tenant == tenant, _P.file_id == id_, _P.number == number)
    found = conn.execute(asked).scalar()
    return None if found is None else zlib.decompress(found)


def page(conn: Connection, tenant: str, purpose: str | None, after: str | None, limit: int) -> Sequence[Row[Any]]:
    """Newest first, behind the file `after`."""
    where: list[Any] = [_F.tenant == tenant, _F.status == PROCESSED]
    if purpose is not None:
        where.append(_F.purpose == purpose)
    if (last := None if after is None else one(conn, tenant, after)) is not None:
        where.append(or_(_F.created_at < last.created_at, and_(_F.created_at == last.created_at, _F.id < last.id)))
    return conn.execute(select(files).where(*where).order_by(_F.created_at.desc(), _F.id.desc()).limit(limit)).all()


def drop(conn: Connection, tenant: str, id_: str) -> None:
    """Its content goes; that it was there stays."""
    conn.execute(delete(file_parts).where(_P.tenant == tenant, _P.file_id == id_))
    conn.execute(update(files).where(_F.tenant == tenant, _F.id == id_).values(status=DELETED))


def drop_made(conn: Connection, new: New) -> None:
    """A file that is made of a batch's answers whenever it is read is so no more."""
    begin(conn, new)
    drop(conn, new.tenant, new.id)
