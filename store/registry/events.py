"""What the compacted topic of prompts is told: the newest word of each label, and every version once."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, insert

from schemas.prompts import LabelMoved, VersionMade
from store.ledger.types.records import Routes
from store.tables import outbox


def moved(conn: Connection, routes: Routes, prompt: Row[Any], move: Mapping[str, Any]) -> None:
    """A label stands for something else."""
    event = LabelMoved(
        prompt_id=prompt.id,
        tenant=prompt.tenant,
        slug=prompt.slug,
        label=move["label"],
        before=_arms(move["before"]),
        after=_arms(move["after"]),
        who=move["who"],
        why=move["why"],
        at=datetime.fromtimestamp(move["at"], UTC),
    )
    _tell(conn, routes, f"{prompt.id}|{move['label']}", event.model_dump_json().encode())


def made(conn: Connection, routes: Routes, prompt: Row[Any], version: int, digest: str, who: str, at: float) -> None:
    """There is a new version."""
    event = VersionMade(
        prompt_id=prompt.id,
        tenant=prompt.tenant,
        slug=prompt.slug,
        version=version,
        digest=digest,
        who=who,
        at=datetime.fromtimestamp(at, UTC),
    )
    _tell(conn, routes, f"{prompt.id}|{version}", event.model_dump_json().encode())


def _arms(packed: str | None) -> dict[int, int] | None:
    return None if packed is None else dict(orjson.loads(packed))


def _tell(conn: Connection, routes: Routes, name: str, value: bytes) -> None:
    if not routes.prompts:
        return
    key = name.encode()
    conn.execute(
        insert(outbox),
        {
            "topic": routes.prompts,
            "partition": routes.partition(routes.prompts, key),
            "number": None,
            "key": key,
            "value": value,
            "headers": b"[]",
        },
    )
