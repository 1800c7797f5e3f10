"""Looks at the registry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select, tuple_

from store import rows
from store.registry.tables import prompt_labels, prompt_moves, prompt_versions, prompts, revisions
from store.registry.write import PROMPTS

_P, _V, _L, _M = prompts.c, prompt_versions.c, prompt_labels.c, prompt_moves.c
_REVISION = select(revisions.c.revision).where(revisions.c.what == PROMPTS)
_MARKS = select(_P.id, _P.revision, _P.latest)
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which prompts: those that a tenant may see (None: all), by their words, category and tag."""

    tenant: str | None = None
    words: str = ""
    category: str | None = None
    tag: str | None = None
    archived: bool = False

    def where(self) -> list[ColumnElement[bool]]:
        """As conditions."""
        found: list[ColumnElement[bool]] = [_P.archived_at.is_not(None) if self.archived else _P.archived_at.is_(None)]
        if self.tenant is not None:
            found.append(visible(self.tenant))
        if self.words:
            like = f"%{_plain(self.words)}%"
            found.append(or_(*(column.ilike(like, escape="\\") for column in (_P.slug, _P.name, _P.description))))
        if self.category is not None:
            found.append(_P.category == self.category)
        if self.tag is not None:
            found.append(_P.tags.like(f"%{_plain(orjson.dumps(self.tag).decode())}%", escape="\\"))
        return found


def visible(tenant: str) -> ColumnElement[bool]:
    """The tenant's own, the program's, and those that others have opened."""
    return or_(_P.tenant.in_([tenant, ""]), _P.is_public)


def _plain(words: str) -> str:
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def revision(conn: Connection) -> int:
    """Counts every change."""
    return conn.execute(_REVISION).scalar() or 0


@dataclass(frozen=True, slots=True)
class Index:
    """What a process must know of prompts to resolve labels without asking the database each time: all but what versions say.
    `marks`: by the id of every prompt what changes with it; the rest: of those that have changed.
    """

    revision: int
    marks: Mapping[str, tuple[int, int]]
    prompts: Sequence[Row[Any]]
    versions: Sequence[Row[Any]]
    labels: Sequence[Row[Any]]


def index(conn: Connection, known: Mapping[str, tuple[int, int]]) -> Index:
    """What has changed since the marks were `known`. The revision first: what is changed meanwhile is read again."""
    found = revision(conn)
    marks = {row.id: (row.revision, row.latest) for row in conn.execute(_MARKS)}
    changed = [id_ for id_, mark in marks.items() if known.get(id_) != mark]
    sizes = select(_V.prompt_id, _V.version, func.length(_V.body).label("size"))
    return Index(
        found,
        marks,
        _of(conn, select(prompts), _P.id, changed),
        _of(conn, sizes, _V.prompt_id, changed),
        _of(conn, select(_L.prompt_id, _L.label, _L.arms), _L.prompt_id, changed),
    )


def _of(conn: Connection, asked: Select[Any], column: ColumnElement[str], ids: Sequence[str]) -> list[Any]:
    found: list[Any] = []
    for at in range(0, len(ids), _AT_ONCE):
        found += conn.execute(asked.where(column.in_(rows.padded(ids[at : at + _AT_ONCE])))).all()
    return found


@dataclass(frozen=True, slots=True)
class Since:
    """What was done after a revision. `moves`: newest first; `archived`: ids of those that were put away and still are."""

    moves: Sequence[Any]
    versions: Sequence[Any]
    archived: frozenset[str]


def since(conn: Connection, revision: int) -> Since:
    """By the registry's own count: clocks say the same twice, and processes have several."""
    moves = select(_M.prompt_id, _M.label, _M.before).where(_M.revision > revision).order_by(_M.pk.desc())
    versions = select(_V.prompt_id, _V.version).where(_V.revision > revision)
    archived = select(_P.id).where(_P.archived_revision > revision)
    return Since(conn.execute(moves).all(), conn.execute(versions).all(), frozenset(conn.execute(archived).scalars()))


def bodies(conn: Connection, wanted: Sequence[tuple[str, int]]) -> list[Any]:
    """What these versions say, by prompt and number."""
    found: list[Any] = []
    asked = select(_V.prompt_id, _V.version, _V.body)
    numbered: dict[int, list[str]] = {}
    for id_, version in wanted:
        numbered.setdefault(version, []).append(id_)
    for version, ids in numbered.items():  # pairs in one IN would read the whole table on SQLite
        found += _of(conn, asked.where(_V.version == version), _V.prompt_id, ids)
    return found


def page(
    conn: Connection, wanted: Wanted, after: tuple[float, str] | None, limit: int
) -> tuple[Sequence[Row[Any]], tuple[float, str] | None]:
    """Lately changed first, and where the next page begins."""
    where = wanted.where()
    if after is not None:
        where.append(tuple_(_P.updated_at, _P.id) < tuple_(*after))
    asked = select(prompts).where(and_(*where)).order_by(_P.updated_at.desc(), _P.id.desc()).limit(limit + 1)
    found = conn.execute(asked).all()
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], (last.updated_at, last.id)


def one(conn: Connection, name: str, tenant: str) -> Row[Any] | None:
    """By id, else by slug: the tenant's own before the program's."""
    found = conn.execute(select(prompts).where(_P.id == name, visible(tenant))).first()
    if found is not None:
        return found
    asked = select(prompts).where(_P.slug == name, _P.tenant.in_([tenant, ""])).order_by(_P.tenant.desc()).limit(1)
    return conn.execute(asked).first()


def of_tenant(conn: Connection, tenant: str) -> Sequence[Row[Any]]:
    """The tenant's own, by slug."""
    return conn.execute(select(prompts).where(_P.tenant == tenant).order_by(_P.slug)).all()


def slugs(conn: Connection, tenant: str) -> list[str]:
    """That a tenant may name."""
    return list(conn.execute(select(_P.slug).where(_P.tenant.in_([tenant, ""])).order_by(_P.slug)).scalars())


def versions(conn: Connection, id_: str) -> Sequence[Row[Any]]:
    """Newest first."""
    asked = select(prompt_versions).where(_V.prompt_id == id_).order_by(_V.version.desc())
    return conn.execute(asked).all()


def labels(conn: Connection, id_: str) -> Sequence[Row[Any]]:
    """What each stands for now."""
    return conn.execute(select(prompt_labels).where(_L.prompt_id == id_).order_by(_L.label)).all()


def moves(conn: Connection, id_: str, label: str | None = None, limit: int = 500) -> Sequence[Row[Any]]:
    """Newest first."""
    asked = select(prompt_moves).where(_M.prompt_id == id_).order_by(_M.pk.desc()).limit(limit)
    return conn.execute(asked if label is None else asked.where(_M.label == label)).all()


def labels_at(conn: Connection, id_: str, at: float) -> dict[str, str]:
    """What each label stood for then, as arms. A moment that was shown has been rounded to a microsecond."""
    found: dict[str, str] = {}
    asked = select(_M.label, _M.after).where(_M.prompt_id == id_, _M.at <= at + 1e-6).order_by(_M.pk)
    for label, after in conn.execute(asked):
        found.pop(label, None)
        if after is not None:
            found[label] = after
    return found
