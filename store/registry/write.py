"""Changes of the registry: each is one transaction, which counts the revision and tells the topic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import uuid_utils
from sqlalchemy import Connection, Row, insert, select, update

from store.database import now
from store.ledger.types.records import Routes
from store.registry import events
from store.registry.errors import Archived, Missing, Stale, Taken
from store.registry.tables import prompt_labels, prompt_moves, prompt_versions, prompts, revisions
from store.rows import upserting

PROMPTS = "prompts"
Arms = Sequence[tuple[int, int]]
_AWAY = ("archived_at", "archived_revision")

_P, _V, _L = prompts.c, prompt_versions.c, prompt_labels.c
_COUNT = upserting(
    revisions,
    lambda made: (
        made.values(what=PROMPTS, revision=1)
        .on_conflict_do_update(index_elements=["what"], set_={"revision": revisions.c.revision + 1})
        .returning(revisions.c.revision)
    ),
)
_LABEL = upserting(
    prompt_labels,
    lambda made: made.on_conflict_do_update(
        index_elements=["prompt_id", "label"],
        set_={name: made.excluded[name] for name in ("arms", "moved_at", "moved_by")},
    ),
)


@dataclass(frozen=True, slots=True)
class About:
    """What may be changed of a prompt without a new version."""

    name: str = ""
    description: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()
    is_public: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A version that has no number yet. `body`: its fields; `source`: as written, where it includes others."""

    body: Mapping[str, Any]
    digest: str
    source: Mapping[str, Any] | None = None
    origin: int | None = None


def create(conn: Connection, routes: Routes, tenant: str, slug: str, about: About, first: Draft, who: str) -> str:
    """Its id. Raises `Taken`."""
    if conn.execute(select(_P.id).where(_P.tenant == tenant, _P.slug == slug)).first() is not None:
        raise Taken(f"there is a prompt '{slug}' already; make a new version of it, or choose another slug")
    id_ = str(uuid_utils.uuid7())
    at = now(conn)
    conn.execute(insert(prompts), _row(id_, tenant, slug, about, who, at))
    _add(conn, routes, _locked(conn, id_), first, who, at, _changed(conn))
    return id_


def _row(
    id_: str, tenant: str, slug: str, about: About, who: str, at: float, *, system: bool = False
) -> dict[str, Any]:
    return {
        "id": id_,
        "tenant": tenant,
        "slug": slug,
        **_told(about),
        "is_system": system,
        "created_by": who,
        "created_at": at,
        "updated_at": at,
        "archived_at": None,
        "archived_revision": None,
        "latest": 0,
        "revision": 0,
    }


def _told(about: About) -> dict[str, Any]:
    return {
        "name": about.name,
        "description": about.description,
        "category": about.category,
        "tags": orjson.dumps(about.tags).decode(),
        "is_public": about.is_public,
    }


def edit(
    conn: Connection,
    routes: Routes,
    id_: str,
    about: About,
    version: Draft | None,
    who: str,
    expected: int | None = None,
) -> int:
    """The newest version's number: one more where `version` says something else than the newest. Raises `Missing`, `Stale`,
    `Archived`.
    """
    prompt = _open(conn, id_, expected)
    at, changed = now(conn), _changed(conn)
    number: int = prompt.latest
    if version is not None and version.digest != _digest(conn, id_, number):
        number = _add(conn, routes, prompt, version, who, at, changed)
    conn.execute(update(prompts).where(_P.id == id_).values(**_told(about), updated_at=at, revision=_P.revision + 1))
    return number


def archive(conn: Connection, id_: str, *, archived: bool, expected: int | None = None) -> None:
    """Put away, or taken out again; what was accepted with it is run all the same. Raises `Missing`, `Stale`."""
    prompt = _locked(conn, id_)
    _check(prompt, expected)
    at, changed = now(conn), _changed(conn)
    first = changed if prompt.archived_at is None else prompt.archived_revision
    put = {"archived_at": at, "archived_revision": first} if archived else dict.fromkeys(_AWAY)
    conn.execute(update(prompts).where(_P.id == id_).values(**put, updated_at=at, revision=_P.revision + 1))


def move(
    conn: Connection, routes: Routes, id_: str, label: str, arms: Arms, who: str, why: str, expected: int | None = None
) -> None:
    """Let a label stand for these versions, or for none any more. Raises `Missing`, `Stale`, `Archived`."""
    prompt = _open(conn, id_, expected)
    known = set(conn.execute(select(_V.version).where(_V.prompt_id == id_)).scalars())
    for version, _ in arms:
        if version not in known:
            listed = ", ".join(map(str, sorted(known)))
            raise Missing(f"the prompt '{prompt.slug}' has no version {version}; it has {listed}")
    before = conn.execute(select(_L.arms).where(_L.prompt_id == id_, _L.label == label)).scalar()
    after = orjson.dumps(sorted(arms)).decode() if arms else None
    if before is None and after is None:
        raise Missing(f"the prompt '{prompt.slug}' has no label '{label}'")
    if before == after:
        return
    at, changed = now(conn), _changed(conn)
    if after is None:
        conn.execute(prompt_labels.delete().where(_L.prompt_id == id_, _L.label == label))
    else:
        row = {"prompt_id": id_, "label": label, "arms": after, "moved_at": at, "moved_by": who}
        conn.execute(_LABEL(conn), row)
    made = {"prompt_id": id_, "label": label, "before": before, "after": after, "who": who, "why": why, "at": at}
    conn.execute(insert(prompt_moves), made | {"revision": changed})
    conn.execute(update(prompts).where(_P.id == id_).values(updated_at=at, revision=_P.revision + 1))
    events.moved(conn, routes, prompt, made)


def seed(conn: Connection, routes: Routes, id_: str, slug: str, about: About, versions: Sequence[Draft]) -> bool:
    """Bring a prompt that comes with the program up to date: its wordings that are not there yet become versions, under their
    own numbers where these are free. What people made of it stays as it is. Whether anything was new.
    """
    found = conn.execute(select(_P.id).where(_P.id == id_)).first()
    known = set(conn.execute(select(_V.digest).where(_V.prompt_id == id_)).scalars())
    new = [draft for draft in versions if draft.digest not in known]
    if found is not None and not new:
        return False
    at = now(conn)
    if found is None:
        conn.execute(
            upserting(prompts, lambda made: made.on_conflict_do_nothing())(conn),
            _row(id_, "", slug, about, "", at, system=True),
        )
    prompt, changed = _locked(conn, id_), _changed(conn)
    for draft in new:
        _add(conn, routes, prompt, draft, "", at, changed)
        prompt = _locked(conn, id_)
    return True


def _add(conn: Connection, routes: Routes, prompt: Row[Any], draft: Draft, who: str, at: float, changed: int) -> int:
    number = int(max(prompt.latest + 1, draft.origin or 0))
    row = {
        "prompt_id": prompt.id,
        "version": number,
        "body": orjson.dumps(draft.body),
        "source": None if draft.source is None else orjson.dumps(draft.source),
        "digest": draft.digest,
        "origin": draft.origin,
        "created_by": who,
        "created_at": at,
        "revision": changed,
    }
    conn.execute(insert(prompt_versions), row)
    conn.execute(update(prompts).where(_P.id == prompt.id).values(latest=number, updated_at=at))
    events.made(conn, routes, prompt, number, draft.digest, who, at)
    return number


def _digest(conn: Connection, id_: str, number: int) -> str | None:
    return conn.execute(select(_V.digest).where(_V.prompt_id == id_, _V.version == number)).scalar()


def _open(conn: Connection, id_: str, expected: int | None) -> Row[Any]:
    prompt = _locked(conn, id_)
    _check(prompt, expected)
    if prompt.archived_at is not None:
        raise Archived(f"the prompt '{prompt.slug}' is archived; restore it first")
    return prompt


def _check(prompt: Row[Any], expected: int | None) -> None:
    if expected is not None and prompt.revision != expected:
        raise Stale(prompt.revision)


def _locked(conn: Connection, id_: str) -> Row[Any]:
    found = conn.execute(select(prompts).where(_P.id == id_).with_for_update()).first()
    if found is None:
        raise Missing(f"there is no prompt '{id_}'")
    return found


def _changed(conn: Connection) -> int:
    """The registry's revision by this change. Nobody gets another one before this transaction has ended: whoever sees a revision
    sees all that came by it and by those before.
    """
    return int(conn.execute(_COUNT(conn)).scalar_one())
