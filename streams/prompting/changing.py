"""Changes of the registry, each one transaction: what was written becomes a draft, a move, a mark."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row

from schemas.prompts import Edit, Move, NewPrompt, Rollback, Wording
from store.ledger.types.records import Routes
from store.registry import read, write
from store.registry.errors import Missing, RegistryError
from store.registry.write import About
from streams.prompting import fitting
from streams.prompting.looking import find, version, whole
from streams.prompting.registry import draft

_WORDING = ("system", "template", "variables", "input_schema", "output_schema", "preferences")


class Refused(RegistryError):
    """It cannot be done with this prompt."""


@dataclass(frozen=True, slots=True)
class By:
    """Who changes what: the tenant whose prompts they are, the person's or the program's name, and the revision it read."""

    tenant: str
    who: str
    expected: int | None = None
    everybody: bool = True
    """Whether they may change what every tenant uses: the prompts that come with the program."""


def create(conn: Connection, routes: Routes, by: By, new: NewPrompt) -> dict[str, Any]:
    """Raises `Taken`, `BadPrompt`."""
    first = draft(conn, by.tenant, new.slug, Wording(**new.model_dump(include=set(_WORDING))), new.notes)
    about = About(new.name or new.slug, new.description, new.category, tuple(new.tags), new.is_public)
    write.create(conn, routes, by.tenant, new.slug, about, first, by.who)
    return whole(conn, find(conn, new.slug, by.tenant))


def edit(conn: Connection, routes: Routes, by: By, name: str, change: Edit) -> dict[str, Any]:
    """What is left out stays. Raises `Missing`, `Stale`, `Archived`, `BadPrompt`."""
    prompt = _own(conn, name, by)
    given = change.model_dump(exclude_unset=True)
    about = About(
        name=_new(given, prompt, "name"),
        description=_new(given, prompt, "description"),
        category=_new(given, prompt, "category"),
        tags=tuple(given["tags"] if given.get("tags") is not None else orjson.loads(prompt.tags)),
        is_public=_new(given, prompt, "is_public"),
    )
    made = None
    if any(field in given for field in _WORDING):
        newest = next(row for row in read.versions(conn, prompt.id) if row.version == prompt.latest)
        before = {name: value for name, value in version(newest).items() if name in _WORDING}
        said = before | {field: given[field] for field in _WORDING if field in given}
        kept = {field: value for field, value in said.items() if value is not None}
        wording = Wording(**{"template": before["template"], **kept})
        made = draft(conn, prompt.tenant, prompt.slug, wording, given.get("notes") or "Edited.")
        fitting.check(conn, prompt, made)
    write.edit(conn, routes, prompt.id, about, made, by.who, by.expected)
    return whole(conn, find(conn, prompt.id, by.tenant))


def _new(given: Mapping[str, Any], prompt: Row[Any], field: str) -> Any:
    value = given.get(field)
    return getattr(prompt, field) if value is None else value


def archive(conn: Connection, by: By, name: str, *, archived: bool) -> dict[str, Any]:
    """Raises `Missing`, `Stale`, `Refused`."""
    prompt = _own(conn, name, by)
    if prompt.is_system:
        raise Refused(
            f"the prompt '{prompt.slug}' comes with the program; move its label to a version of yours instead"
        )
    write.archive(conn, prompt.id, archived=archived, expected=by.expected)
    return whole(conn, find(conn, prompt.id, by.tenant))


def move(conn: Connection, routes: Routes, by: By, name: str, moved: Move) -> dict[str, Any]:
    """Raises `Missing`, `Stale`, `Archived`, `Refused`."""
    prompt = _own(conn, name, by)
    if (moved.version is None) == (moved.weights is None):
        raise Refused("name either `version` or `weights`")
    arms = [(moved.version, 1)] if moved.version is not None else sorted((moved.weights or {}).items())
    _move(conn, routes, prompt, moved.label, arms, by, moved.why)
    return whole(conn, find(conn, prompt.id, by.tenant))


def unlabel(conn: Connection, routes: Routes, by: By, name: str, label: str, why: str) -> dict[str, Any]:
    """Take a label away. Raises `Missing`, `Stale`, `Archived`."""
    prompt = _own(conn, name, by)
    _move(conn, routes, prompt, label, [], by, why)
    return whole(conn, find(conn, prompt.id, by.tenant))


def rollback(conn: Connection, routes: Routes, by: By, name: str, asked: Rollback) -> dict[str, Any]:
    """Where the label stood before its last move that was none back: doing it twice goes back twice. Raises `Missing`."""
    prompt = _own(conn, name, by)
    moves = read.moves(conn, prompt.id, asked.label)
    before, shipped = _before(moves), prompt.is_system and bool(moves) and moves[0].after is not None
    if before is None and not shipped:  # without the label the program's own words are asked again
        raise Missing(f"the label '{asked.label}' of '{prompt.slug}' stood nowhere before; move it to a version")
    _move(conn, routes, prompt, asked.label, orjson.loads(before or "[]"), by, f"{_BACK}{asked.why}")
    return whole(conn, find(conn, prompt.id, by.tenant))


_BACK = "rollback: "


def _before(moves: Any) -> str | None:
    """Moves newest first: each way back takes one move with it."""
    skip = 0
    for row in moves:
        if row.why.startswith(_BACK):
            skip += 1
        elif skip:
            skip -= 1
        else:
            return row.before  # type: ignore[no-any-return]
    return None


def _move(conn: Connection, routes: Routes, prompt: Row[Any], label: str, arms: Any, by: By, why: str) -> None:
    if label == "latest":
        raise Refused("`latest` is always the newest version; nobody moves it")
    listed = [(int(number), int(weight)) for number, weight in arms]
    fitting.check_move(conn, prompt, label, listed)
    write.move(conn, routes, prompt.id, label, listed, by.who, why, by.expected)


def _own(conn: Connection, name: str, by: By) -> Row[Any]:
    """One that this tenant may change. Raises `Missing`, `Refused`."""
    prompt = find(conn, name, by.tenant)
    if prompt.tenant not in {by.tenant, ""}:
        raise Refused(f"the prompt '{prompt.slug}' is another tenant's; make one of your own from it")
    if prompt.tenant == "" and not by.everybody:
        raise Refused(
            f"every tenant uses the prompt '{prompt.slug}', so it needs an admin; make one of your own from it"
        )
    return prompt
