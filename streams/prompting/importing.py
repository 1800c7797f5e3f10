"""`prompts import`: sheets into the registry, all in one transaction. What is as the sheet says is not touched.

A sheet's numbers are those of the installation that wrote it. Here another wording may have them already, so what the sheet says
by number, labels and includes, is said by the numbers that its versions have here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from graphlib import CycleError, TopologicalSorter
from typing import Any

import orjson
from sqlalchemy import Connection, Row

from prompts.includes import named, renumbered
from schemas.prompts import Wording
from store.ledger.types.records import Routes
from store.registry import read, write
from store.registry.write import About, Draft
from streams.prompting import changing, fitting, looking
from streams.prompting.changing import By
from streams.prompting.registry import BadPrompt, draft
from streams.prompting.sheets import Sheet, SheetVersion, weighed

_Node = tuple[str, int]
"""A slug and the number of a version in its sheet."""


@dataclass
class _Coming:
    """A sheet on its way. `before`: the prompt and its versions as they were; `numbers`: what each of the sheet's is here."""

    sheet: Sheet
    before: Row[Any] | None
    known: Sequence[Row[Any]]
    id: str = ""
    numbers: dict[int, int] = field(default_factory=dict)
    made: list[int] = field(default_factory=list)

    def here(self, number: int, digest: str) -> int | None:
        """The version that says this already. One that is later than all that were here is none of them: it may say again what an
        old one says.
        """
        same = {row.version for row in self.known if row.digest == digest}
        if not same or number in same:
            return number if same else None
        return None if number > self.known[0].version else max(same)


def imported(conn: Connection, routes: Routes, by: By, sheets: Sequence[Sheet]) -> list[dict[str, Any]]:
    """What was new. Versions that are there already (by what they say) stay; labels go where the sheet says. Raises what
    `draft` and `write` raise; nothing was changed then.
    """
    coming = {sheet.slug: _coming(conn, by, sheet) for sheet in sheets}
    if len(coming) < len(sheets):
        raise BadPrompt("a prompt stands there twice; import one file after the other")
    said = {(sheet.slug, each.version): each for sheet in sheets for each in sheet.versions}
    for slug, number in _in_order(coming, said):
        _bring(conn, routes, by, coming, slug, said[slug, number])
    return [_finished(conn, routes, by, each) for each in coming.values()]


def _coming(conn: Connection, by: By, sheet: Sheet) -> _Coming:
    prompt = read.one(conn, sheet.slug, by.tenant)
    if prompt is None:
        return _Coming(sheet, None, ())
    return _Coming(sheet, prompt, read.versions(conn, prompt.id), prompt.id)


def _in_order(coming: Mapping[str, _Coming], said: Mapping[_Node, SheetVersion]) -> list[_Node]:
    """Each version after the one before it and after what it includes. Raises `BadPrompt` where there is no such order."""
    sorter: TopologicalSorter[_Node] = TopologicalSorter()
    for slug, each in coming.items():
        numbers = sorted(version.version for version in each.sheet.versions)
        for before, number in zip([0, *numbers], numbers, strict=False):
            sorter.add((slug, number), *([(slug, before)] if before else ()))
    for node, version in said.items():
        for slug, wanted in [*named(version.system or ""), *named(version.template)]:
            if slug in coming and slug != node[0]:
                sorter.add(node, _included(node, coming[slug].sheet, wanted))
    try:
        return list(sorter.static_order())
    except CycleError as error:
        loop = " → ".join(f"{slug}@{number}" for slug, number in reversed(error.args[1]))
        raise BadPrompt(f"the prompts include each other in a loop: {loop}; take one of these includes out") from error


def _included(node: _Node, sheet: Sheet, wanted: int | None) -> _Node:
    numbers = {each.version for each in sheet.versions}
    if wanted is not None and wanted not in numbers:
        listed = ", ".join(map(str, sorted(numbers)))
        raise BadPrompt(
            f"{_which(*node)} includes '{sheet.slug}@{wanted}', which is not in the sheet of that prompt; it has {listed}"
        )
    return sheet.slug, wanted or max(numbers)


def _which(slug: str, number: int) -> str:
    return f"version {number} of the prompt '{slug}'"


def _bring(
    conn: Connection, routes: Routes, by: By, coming: Mapping[str, _Coming], slug: str, said: SheetVersion
) -> None:
    """One version, unless it is here; from now on its sheet's number is known as what it is here."""
    to = coming[slug]
    try:
        made = _draft(conn, by, coming, to, said)
        if to.before is not None and to.here(said.version, made.digest) is None:
            fitting.check(conn, to.before, made)
    except BadPrompt as error:
        raise BadPrompt(f"{_which(slug, said.version)}: {error}") from error
    if not to.id:
        to.id = write.create(conn, routes, by.tenant, slug, _about(to.sheet), made, by.who)
        to.made.append(said.version)
    number = to.here(said.version, made.digest)
    to.numbers[said.version] = _added(conn, routes, by, to, made) if number is None else number


def _draft(conn: Connection, by: By, coming: Mapping[str, _Coming], to: _Coming, said: SheetVersion) -> Draft:
    def number(slug: str, wanted: int | None) -> int | None:
        return (
            coming[slug].numbers[wanted] if wanted is not None and slug in coming and slug != to.sheet.slug else wanted
        )

    told = said.model_dump(exclude={"version", "notes"})
    told |= {name: renumbered(told[name], number) for name in ("system", "template") if told[name]}
    tenant = by.tenant if to.before is None else to.before.tenant
    return replace(draft(conn, tenant, to.sheet.slug, Wording(**told), said.notes), origin=said.version)


def _added(conn: Connection, routes: Routes, by: By, to: _Coming, made: Draft) -> int:
    """Its number. Raises `Archived`."""
    prompt = _open(conn, by, to)
    number = write.edit(conn, routes, to.id, _about_now(prompt), made, by.who)
    if number > prompt.latest:
        to.made.append(number)
    return number


def _open(conn: Connection, by: By, to: _Coming) -> Row[Any]:
    """The prompt, about to be changed: out of the archive where the sheet says whether it belongs there."""
    prompt = looking.find(conn, to.id, by.tenant)
    if prompt.archived_at is not None and to.sheet.archived is not None:
        write.archive(conn, to.id, archived=False)
    return prompt


def _finished(conn: Connection, routes: Routes, by: By, done: _Coming) -> dict[str, Any]:
    """All but the versions, and what is to be told of the whole."""
    prompt = looking.find(conn, done.id, by.tenant)
    if not prompt.is_system and _about(done.sheet) != _about_now(prompt):
        write.edit(conn, routes, _open(conn, by, done).id, _about(done.sheet), None, by.who)
    moved = [label for label in done.sheet.labels if _moved(conn, routes, by, done, label)]
    was = done.before is not None and done.before.archived_at is not None
    archived = was if done.sheet.archived is None else done.sheet.archived
    if archived != (looking.find(conn, done.id, by.tenant).archived_at is not None):
        changing.archive(conn, by, done.id, archived=archived)
    return {
        "slug": prompt.slug,
        "created": done.before is None,
        "versions": done.made,
        "labels": moved,
        "archived": None if archived == was else archived,
    }


def _about(sheet: Sheet) -> About:
    name = sheet.name if "name" in sheet.model_fields_set else sheet.slug
    return About(name, sheet.description, sheet.category, tuple(sheet.tags), sheet.is_public)


def _about_now(prompt: Row[Any]) -> About:
    return About(
        prompt.name, prompt.description, prompt.category, tuple(orjson.loads(prompt.tags)), bool(prompt.is_public)
    )


def _moved(conn: Connection, routes: Routes, by: By, done: _Coming, label: str) -> bool:
    """To what the sheet means by its numbers, unless the label stands for the same words already."""
    weights: dict[int, int] = {}
    for number, weight in weighed(done.sheet.labels[label]).items():
        weights[done.numbers[number]] = weights.get(done.numbers[number], 0) + weight
    wanted = sorted(weights.items())
    now = {row.label: orjson.loads(row.arms) for row in read.labels(conn, done.id)}
    digests = {row.version: row.digest for row in read.versions(conn, done.id)}
    says = partial(_says, digests)
    if label in now and says(now[label]) == says(wanted):
        return False
    fitting.check_move(conn, _open(conn, by, done), label, wanted)
    write.move(conn, routes, done.id, label, wanted, by.who, "imported")
    return True


def _says(digests: Mapping[int, str], arms: Sequence[tuple[int, int]]) -> list[tuple[str, int]]:
    """What requests get by these arms: words and weights; one alone gets all of them."""
    return sorted((digests[version], weight if len(arms) > 1 else 1) for version, weight in arms)
