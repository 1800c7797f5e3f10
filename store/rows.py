"""Small things that every statement of the ledger needs."""

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection, Table, TextClause, text
from sqlalchemy.dialects import postgresql, sqlite

from store.quick import QuickConnection, quick

T = TypeVar("T")
Headers = Sequence[tuple[str, bytes]]


def identity(tenant: str, operation: str, id_: str) -> bytes:
    """16 bytes that stand for (tenant, operation, id); names hold no control character, so NUL parts them."""
    return hashlib.blake2b(f"{tenant}\0{operation}\0{id_}".encode(), digest_size=16).digest()


def digest(*parts: bytes) -> bytes:
    """16 bytes that stand for these parts, whatever is in them."""
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big") + part)
    return hashed.digest()


def usual(condition: TextClause, dialect: str) -> TextClause:
    """For a statement that counts what waits: the condition, with SQLite told that most rows fulfil it. It has no figures of
    its tables, takes the rows of one state for few, and would read each of them in the table instead of this condition's index.
    """
    state = "state = 'waiting'"
    words = str(condition)
    return condition if dialect == "postgresql" else text(words.replace(state, f"likelihood({state}, 0.9)"))


def pack_headers(headers: Headers) -> bytes:
    """Headers as the ledger keeps them."""
    if not headers:
        return b"[]"
    return orjson.dumps([[name, base64.b64encode(value or b"").decode()] for name, value in headers])


def unpack_headers(packed: bytes) -> list[tuple[str, bytes]]:
    """What `pack_headers` wrote."""
    return [(name, base64.b64decode(value)) for name, value in orjson.loads(packed)]


def plain(text: str) -> str:
    """Somebody else's words, as a text column takes them: without NUL and without halves of surrogate pairs."""
    return text.replace("\0", "").encode(errors="replace").decode()


def upsert(conn: Connection, table: Table) -> Any:
    """An INSERT of this dialect that knows ON CONFLICT."""
    return sqlite.insert(table) if conn.dialect.name == "sqlite" else postgresql.insert(table)


def upserting(table: Table, finish: Callable[[Any], Any]) -> Callable[[Connection], Any]:
    """The same, finished and built once: to build a statement takes SQLAlchemy four times as long as to run it."""
    made = {"sqlite": finish(sqlite.insert(table)), "postgresql": finish(postgresql.insert(table))}
    quick(*made.values())
    return lambda conn: made[conn.dialect.name]


def padded(values: Iterable[T]) -> list[T]:
    """The values of an IN, the last one repeated up to a power of four: few texts of a statement instead of one per length.

    Each text is prepared, and kept, by the driver and by the server: with one per length they took 50 MB in a worker.
    """
    listed = list(values)
    size = 1
    while size < len(listed):
        size *= 4
    return listed + listed[-1:] * (size - len(listed))


def many(conn: Connection, statement: Any, rows: Iterable[Mapping[str, Any]]) -> None:
    """Run `statement` once per row, in one round trip; nothing for no rows."""
    listed = list(rows)
    if listed and isinstance(conn, QuickConnection):
        conn.soon(statement, listed)
    elif listed:
        conn.execute(statement, listed)
