"""What there is in the registry, as programs read it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row

from prompts.compare import changes
from prompts.naming import near, some
from prompts.registered import NEWEST
from schemas.money import to_usd
from store.registry import read, stats
from store.registry.errors import Missing
from streams.prompting.registry import said


def find(conn: Connection, name: str, tenant: str) -> Row[Any]:
    """By slug or id. Raises `Missing`, which names those that there are."""
    found = read.one(conn, name, tenant)
    if found is None:
        known = read.slugs(conn, tenant)
        raise Missing(f"there is no prompt '{name[:200]}'; there are {some(known)}{near(name, known)}")
    return found


def item(prompt: Row[Any]) -> dict[str, Any]:
    """A prompt in a list."""
    return {
        "id": prompt.id,
        "slug": prompt.slug,
        "tenant": prompt.tenant or None,
        "name": prompt.name,
        "description": prompt.description,
        "category": prompt.category,
        "tags": orjson.loads(prompt.tags),
        "is_system": prompt.is_system,
        "is_public": prompt.is_public,
        "created_by": prompt.created_by or None,
        "created_at": moment(prompt.created_at),
        "updated_at": moment(prompt.updated_at),
        "archived_at": None if prompt.archived_at is None else moment(prompt.archived_at),
        "version": prompt.latest,
        "revision": prompt.revision,
    }


def whole(conn: Connection, prompt: Row[Any]) -> dict[str, Any]:
    """A prompt with its newest version and its labels."""
    newest = _version(conn, prompt, prompt.latest)
    labels = {row.label: arms(row.arms) for row in read.labels(conn, prompt.id)}
    return item(prompt) | {"labels": labels, "current": version(newest)}


def versions(conn: Connection, prompt: Row[Any]) -> list[dict[str, Any]]:
    """Newest first, without their texts."""
    names: dict[int, list[str]] = {}
    for row in read.labels(conn, prompt.id):
        for number, _ in orjson.loads(row.arms):
            names.setdefault(number, []).append(row.label)
    return [
        {
            "version": row.version,
            "digest": row.digest,
            "notes": orjson.loads(row.body).get("notes"),
            "labels": names.get(row.version, []),
            "created_by": row.created_by or None,
            "created_at": moment(row.created_at),
        }
        for row in read.versions(conn, prompt.id)
    ]


def version(row: Row[Any]) -> dict[str, Any]:
    """One version, as it was written; `rendered` templates stand beside where it includes others."""
    body, source = orjson.loads(row.body), None if row.source is None else orjson.loads(row.source)
    told = {
        "version": row.version,
        "digest": row.digest,
        **said(body, source),
        "created_by": row.created_by or None,
        "created_at": moment(row.created_at),
    }
    if source is None:
        return told
    included = [{"slug": slug, "version": number} for slug, number in source["includes"]]
    return told | {"includes": included, "expanded": {"system": body.get("system"), "template": body["user"]}}


def one_version(conn: Connection, prompt: Row[Any], number: int) -> dict[str, Any]:
    """Raises `Missing`, which names those that there are."""
    return version(_version(conn, prompt, number))


def _version(conn: Connection, prompt: Row[Any], number: int) -> Row[Any]:
    found = {row.version: row for row in read.versions(conn, prompt.id)}
    if number not in found:
        raise Missing(f"the prompt '{prompt.slug}' has no version {number}; it has {some(map(str, sorted(found)))}")
    return found[number]


def difference(conn: Connection, prompt: Row[Any], before: int, after: int) -> dict[str, Any]:
    """Field by field."""
    told = [_compared(version(_version(conn, prompt, number))) for number in (before, after)]
    found = changes(*told)
    return {
        "slug": prompt.slug,
        "from": before,
        "to": after,
        "same": not found,
        "changes": [
            {"field": each.field, "from": each.before, "to": each.after, "diff": list(each.lines)} for each in found
        ],
    }


def _compared(told: Mapping[str, Any]) -> dict[str, Any]:
    apart = {"version", "digest", "created_by", "created_at", "notes", "includes"}
    return {name: value for name, value in told.items() if name not in apart}


def labels(conn: Connection, prompt: Row[Any], at: float | None = None) -> dict[str, Any]:
    """What each label stands for, now or at a moment, and every move of them, newest first."""
    if at is None:
        now = {row.label: arms(row.arms) for row in read.labels(conn, prompt.id)}
    else:
        now = {label: arms(packed) for label, packed in read.labels_at(conn, prompt.id, at).items()}
    history = [
        {
            "label": row.label,
            "from": None if row.before is None else arms(row.before),
            "to": None if row.after is None else arms(row.after),
            "who": row.who or None,
            "why": row.why,
            "at": moment(row.at),
        }
        for row in read.moves(conn, prompt.id)
        if at is None or row.at <= at + 1e-6
    ]
    return {"slug": prompt.slug, "labels": now, NEWEST: prompt.latest, "history": history}


def executions(conn: Connection, prompt: Row[Any], tenant: str | None, since: float) -> dict[str, Any]:
    """What its versions did since a moment, newest version first."""
    found = stats.by_version(conn, prompt.slug, tenant, since)
    return {
        "slug": prompt.slug,
        "since": moment(since),
        "versions": [
            {
                "version": did.version,
                "calls": did.calls,
                "failures": did.failures,
                "wasted": did.wasted,
                "input_tokens": did.input_tokens,
                "output_tokens": did.output_tokens,
                "cost_usd": to_usd(did.nano),
                "unpriced_calls": did.unpriced,
                "latency_ms": {"mean": round(did.mean_ms, 1), "p50": did.p50_ms, "p95": did.p95_ms},
                "last_at": moment(did.last_at),
            }
            for did in found
        ],
    }


def arms(packed: str) -> int | dict[str, int]:
    """One version's number, or several by weight."""
    found = orjson.loads(packed)
    return int(found[0][0]) if len(found) == 1 else {str(number): weight for number, weight in found}


def moment(at: float) -> str:
    """As RFC 3339 wants it."""
    return datetime.fromtimestamp(at, UTC).isoformat()
