"""Whether operations can ask by a wording of their own prompts: it takes the variables that they fill in, and no others.

The prompts by which `summarize` and its like ask come with the program, and operators may say them in other words. What they ask
for, in what form, and what the variables are is the operation's.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Connection, Row

from agents import OPERATIONS
from prompts import PromptError, Wording
from prompts.registered import PRODUCTION, wording
from prompts.variables import Variable
from store.registry import read
from store.registry.write import Arms, Draft
from streams.prompting.registry import BadPrompt

_TYPICAL: Mapping[str, Any] = {
    "content": "A text.",
    "text": "words",
    "integer": 3,
    "number": 0.5,
    "boolean": True,
    "texts": ["one", "two"],
    "json": {},
}
_OF_OPERATIONS: Mapping[str, Any] = {
    "categories": [{"name": "one", "description": "its words"}, {"name": "two", "description": ""}],
    "items": [{"number": 1, "text": "one"}, {"number": 2, "text": "two"}],
    "schema": {"type": "object", "properties": {"name": {"type": "string"}}},
}
"""Values of variables that are lists and mappings, as operations fill them in."""


@cache
def own() -> frozenset[str]:
    """The slugs of prompts by which operations ask by themselves."""
    return frozenset(slug for operation in OPERATIONS.values() for slug in operation.wordings)


def check(conn: Connection, prompt: Row[Any], made: Draft) -> None:
    """A new version. Raises `BadPrompt`; a prompt that no operation asks by may hold anything."""
    if prompt.is_system and prompt.slug in own():
        _check(prompt.slug, made.body, _shipped(conn, prompt))


def check_version(conn: Connection, prompt: Row[Any], number: int) -> None:
    """The same for a version that there is: an older program may have let it in."""
    if prompt.is_system and prompt.slug in own():
        body = next(row.body for row in read.versions(conn, prompt.id) if row.version == number)
        _check(prompt.slug, orjson.loads(body), _shipped(conn, prompt), f"version {number} of ")


def check_move(conn: Connection, prompt: Row[Any], label: str, arms: Arms) -> None:
    """Operations follow `production`, so what it stands for must fit. A version that there is not is told by who moves."""
    known = {row.version for row in read.versions(conn, prompt.id)} if label == PRODUCTION else set()
    for number in sorted({number for number, _ in arms} & known):
        check_version(conn, prompt, number)


def _shipped(conn: Connection, prompt: Row[Any]) -> Wording:
    """The newest wording that came with the program."""
    row = next(row for row in read.versions(conn, prompt.id) if row.origin is not None)
    return wording(prompt.id, prompt.slug, "", {"version": 1, **orjson.loads(row.body)})


def _check(slug: str, body: Mapping[str, Any], shipped: Wording, which: str = "") -> None:
    whose = f"operations ask by {which}the prompt '{slug}'"
    for field in ("input_schema", "output_schema", "preferences"):
        if body.get(field):
            raise BadPrompt(f"`{field}`: {whose}, and see to that themselves; leave it out")
    made = wording("new", slug, "", {"version": 1, **body})
    want, have = _by_name(shipped), _by_name(made)
    listed = ", ".join(f"'{name}'" for name in want)
    if missing := [name for name in want if name not in have]:
        raise BadPrompt(
            f"`template`: {whose} and fill in {listed}; use {_quoted(missing)} too, or what was asked for is passed over"
        )
    if unknown := [name for name in have if name not in want]:
        raise BadPrompt(f"`template`: {whose} and fill in only {listed}; nobody would fill in {_quoted(unknown)}")
    if other := [name for name in want if want[name].told() != have[name].told()]:
        raise BadPrompt(f"`variables`: {whose}; leave type, default and checks of {_quoted(other)} as they came")
    _try(made, whose)


def _try(made: Wording, whose: str) -> None:
    """With everything, and with as little as may be."""
    full = {each.name: _OF_OPERATIONS.get(each.name, _TYPICAL[each.type]) for each in made.variables}
    least = {each.name: full[each.name] if each.required else each.default for each in made.variables}
    for values in (full, least):
        try:
            rendered = made.render(values)
        except PromptError as error:
            raise BadPrompt(f"`template`: {whose}, and with {orjson.dumps(values).decode()[:300]} {error}") from error
        if not rendered.user:
            raise BadPrompt(f"`template`: {whose}, and with {orjson.dumps(values).decode()[:300]} it is blank")


def _by_name(made: Wording) -> dict[str, Variable]:
    return {each.name: each for each in made.variables}


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
