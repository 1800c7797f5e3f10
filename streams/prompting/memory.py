"""Rows of the registry as a process keeps them: which prompts there are, and what their versions say."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy import Connection, Row

from prompts import ChangedPrompt, Wording
from prompts.kept import Kept, Key, Read
from prompts.registered import SYSTEM, Arms, Entry, wording
from store.registry import read


def entries(found: read.Index) -> dict[str, Entry]:
    """The prompts that have changed, by their ids."""
    versions: dict[str, list[int]] = {}
    labels: dict[str, dict[str, Arms]] = {}
    for row in found.versions:
        versions.setdefault(row.prompt_id, []).append(row.version)
    for row in found.labels:
        labels.setdefault(row.prompt_id, {})[row.label] = _arms(row.arms)
    return {
        row.id: Entry(
            row.id,
            row.tenant,
            row.slug,
            row.description,
            row.is_public,
            row.archived_at is not None,
            tuple(sorted(versions[row.id])),
            labels.get(row.id, {}),
        )
        for row in found.prompts
        if row.id in versions
    }


def _arms(packed: str) -> Arms:
    return tuple((version, weight) for version, weight in orjson.loads(packed))


def before(known: Iterable[Entry], since: read.Since) -> list[Entry]:
    """The prompts as they were before all this was done, however much of it is known: what is not, is undone in vain."""
    labels: dict[str, dict[str, Arms | None]] = {}
    for row in since.moves:  # the first of a label's moves comes last
        labels.setdefault(row.prompt_id, {})[row.label] = None if row.before is None else _arms(row.before)
    versions: dict[str, set[int]] = {}
    for row in since.versions:
        versions.setdefault(row.prompt_id, set()).add(row.version)
    changed = labels.keys() | versions.keys() | since.archived

    def undone(entry: Entry) -> Entry:
        stood = {**entry.labels, **labels.get(entry.id, {})}
        return replace(
            entry,
            archived=entry.archived and entry.id not in since.archived,
            versions=tuple(number for number in entry.versions if number not in versions.get(entry.id, ())),
            labels={label: arms for label, arms in stood.items() if arms is not None},
        )

    found = (undone(entry) if entry.id in changed else entry for entry in known)
    return [entry for entry in found if entry.versions]


def worth(changed: Mapping[str, Entry], found: read.Index, most: int, room: int) -> list[Key]:
    """Which versions are read at once: those that requests get that name no version, as far as `most` goes, and of the others, the
    newest first, what there is `room` for.
    """
    sizes = {(row.prompt_id, row.version): int(row.size) for row in found.versions}
    asked = {key for entry in changed.values() for key in _asked(entry)} & sizes.keys()
    others = sorted(sizes.keys() - asked, key=lambda key: (-key[1], key[0]))
    taken, total = [], 0
    for key in [*sorted(asked), *others]:
        if total + sizes[key] <= (most if key in asked else room):
            taken.append(key)
            total += sizes[key]
    return taken


def _asked(entry: Entry) -> Iterable[Key]:
    if entry.archived:
        return ()
    numbers = {version for arms in entry.labels.values() for version, _ in arms}
    return ((entry.id, number) for number in numbers | {entry.versions[-1]})


def own(known: Iterable[Entry]) -> list[Key]:
    """What labels of the program's own prompts stand for: operations may ask by it, and never wait for it."""
    return [
        (entry.id, version)
        for entry in known
        if entry.tenant == SYSTEM
        for arms in entry.labels.values()
        for version, _ in arms
    ]


def made(rows: Iterable[Row[Any]], known: Mapping[str, Entry], wanted: Sequence[Key]) -> dict[Key, Read]:
    """What was wanted, as it is kept; what is not there any more says so when it is used."""
    bodies = {(row.prompt_id, row.version): bytes(row.body) for row in rows}
    return {
        key: Read(partial(_wording, known[key[0]], key[1], bodies.get(key)), len(bodies.get(key, b"")))
        for key in wanted
    }


def _wording(entry: Entry, version: int, body: bytes | None) -> Wording:
    which = f"version {version} of the prompt '{entry.slug}'"
    if body is None:
        raise ChangedPrompt(f"{which} is gone from the database")
    try:
        return wording(entry.id, entry.slug, entry.description, {"version": version, **orjson.loads(body)})
    except ValidationError as error:
        raise ChangedPrompt(f"{which} cannot be read: {error}") from error


def whole(conn: Connection) -> tuple[list[Entry], Kept]:
    """All of it, for a program that ends soon."""
    found, kept = read.index(conn, {}), Kept()
    known = entries(found)
    wanted = [(row.prompt_id, row.version) for row in found.versions if row.prompt_id in known]
    kept.put(made(read.bodies(conn, wanted), known, wanted))
    return list(known.values()), kept
