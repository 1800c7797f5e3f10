"""Rows of the registry as a process keeps them: which prompts there are, and what their versions say."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy import Connection, Row

from prompts.kept import Kept, Key, Read
from prompts.registered import SYSTEM, Entry, wording
from store.registry import read


def entries(found: read.Index) -> dict[str, Entry]:
    """The prompts that have changed, by their ids."""
    versions: dict[str, list[int]] = {}
    labels: dict[str, dict[str, tuple[tuple[int, int], ...]]] = {}
    for row in found.versions:
        versions.setdefault(row.prompt_id, []).append(row.version)
    for row in found.labels:
        arms = tuple((version, weight) for version, weight in orjson.loads(row.arms))
        labels.setdefault(row.prompt_id, {})[row.label] = arms
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
    """What was wanted, as it is kept; what is not there, or is no prompt, as the reason for that."""
    found = dict.fromkeys(wanted, Read("it is gone from the database", 0))
    for row in rows:
        entry, size = known[row.prompt_id], len(row.body)
        try:
            told = {"version": row.version, **orjson.loads(row.body)}
            found[row.prompt_id, row.version] = Read(wording(entry.id, entry.slug, entry.description, told), size)
        except ValidationError as error:
            found[row.prompt_id, row.version] = Read(str(error), size)
    return found


def whole(conn: Connection) -> tuple[list[Entry], Kept]:
    """All of it, for a program that ends soon."""
    found, kept = read.index(conn, {}), Kept()
    known = entries(found)
    wanted = [(row.prompt_id, row.version) for row in found.versions if row.prompt_id in known]
    kept.put(made(read.bodies(conn, wanted), known, wanted))
    return list(known.values()), kept
