"""Prompts as YAML: what `prompts export` writes and `prompts import` reads. One way and back, nothing is lost: every version keeps
its number and its digest, and what it included is named with the version that it took over.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import orjson
import yaml
from pydantic import ConfigDict, Field, ValidationError
from sqlalchemy import Connection, Row

from schemas.execute_prompt import Label
from schemas.prompts import About, Slug, Wording
from store.ledger.types.records import Routes
from store.registry import read, write
from streams.decode import sentence
from streams.prompting import fitting, looking
from streams.prompting.changing import By
from streams.prompting.looking import arms, version
from streams.prompting.registry import BadPrompt, draft

_INCLUDE = re.compile(r"(\{%-?\s*include\s+['\"])([a-z][a-z0-9_-]*)(['\"]\s*-?%\})")


class SheetVersion(Wording):
    """A version with its number."""

    version: Annotated[int, Field(strict=True, ge=1)]
    notes: Annotated[str, Field(strict=True, min_length=1, max_length=2000)]


class Sheet(About):
    """A prompt with all of its versions and its labels."""

    model_config = ConfigDict(extra="forbid")

    slug: Slug
    labels: Annotated[dict[Label, int | dict[int, int]], Field(default_factory=dict)]
    versions: Annotated[list[SheetVersion], Field(min_length=1)]


def exported(conn: Connection, prompt: Row[Any]) -> str:
    """One YAML document."""
    told: dict[str, Any] = {
        "slug": prompt.slug,
        "name": prompt.name,
        "description": prompt.description,
        "category": prompt.category,
        "tags": orjson.loads(prompt.tags),
        "is_public": prompt.is_public,
        "labels": {row.label: _numbers(arms(row.arms)) for row in read.labels(conn, prompt.id)},
        "versions": [_version(version(row)) for row in reversed(read.versions(conn, prompt.id))],
    }
    return yaml.dump(told, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _numbers(stands_for: int | dict[str, int]) -> int | dict[int, int]:
    return stands_for if isinstance(stands_for, int) else {int(number): weight for number, weight in stands_for.items()}


def _version(told: Mapping[str, Any]) -> dict[str, Any]:
    taken = {each["slug"]: each["version"] for each in told.get("includes", ())}
    fields = ("version", "notes", "system", "template", "variables", "input_schema", "output_schema", "preferences")
    found = {name: told[name] for name in fields if told[name] not in (None, [], {})}
    for name in ("system", "template"):
        if name in found and taken:
            found[name] = _INCLUDE.sub(lambda match: _named(match, taken), found[name])
    return found


def _named(match: re.Match[str], taken: Mapping[str, int]) -> str:
    return f"{match[1]}{match[2]}@{taken[match[2]]}{match[3]}" if match[2] in taken else match[0]


class _Dumper(yaml.SafeDumper):
    """Templates as people read them."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def read_sheets(text: str, name: str) -> list[Sheet]:
    """Every document of a file. Raises `BadPrompt`, which names the file, the line or the field."""
    try:
        documents = [found for found in yaml.safe_load_all(text) if found is not None]
    except yaml.YAMLError as error:
        raise BadPrompt(f"{name}: not YAML: {error}") from error
    if not documents:
        raise BadPrompt(f"{name}: holds no prompt")
    try:
        return [Sheet.model_validate(document) for document in documents]
    except ValidationError as error:
        raise BadPrompt(f"{name}: {sentence(error)}") from error


def imported(conn: Connection, routes: Routes, by: By, sheet: Sheet) -> dict[str, Any]:
    """What was new. Versions that are there already (by what they say) stay; labels go where the sheet says. Raises what
    `draft` and `write` raise; nothing was changed then.
    """
    prompt = read.one(conn, sheet.slug, by.tenant)
    about = write.About(sheet.name or sheet.slug, sheet.description, sheet.category, tuple(sheet.tags), sheet.is_public)
    drafts = [_draft(conn, by, sheet.slug, each) for each in sheet.versions]
    if prompt is None:
        id_ = write.create(conn, routes, by.tenant, sheet.slug, about, drafts[0], by.who)
        numbers = [sheet.versions[0].version]
        left = list(zip(sheet.versions[1:], drafts[1:], strict=True))
    else:
        id_, numbers = prompt.id, []
        known = {row.digest for row in read.versions(conn, id_)}
        left = [(each, made) for each, made in zip(sheet.versions, drafts, strict=True) if made.digest not in known]
        for _, made in left:
            fitting.check(conn, prompt, made)
        if not prompt.is_system:
            write.edit(conn, routes, id_, about, None, by.who)
    numbers += [write.edit(conn, routes, id_, about, made, by.who) for _, made in left]
    moved = [label for label, stands_for in sheet.labels.items() if _moved(conn, routes, by, id_, label, stands_for)]
    return {"slug": sheet.slug, "created": prompt is None, "versions": numbers, "labels": moved}


def _draft(conn: Connection, by: By, slug: str, said: SheetVersion) -> write.Draft:
    wording = Wording(**said.model_dump(exclude={"version", "notes"}))
    return replace(draft(conn, by.tenant, slug, wording, said.notes), origin=said.version)


def _moved(conn: Connection, routes: Routes, by: By, id_: str, label: str, stands_for: int | dict[int, int]) -> bool:
    wanted = [(stands_for, 1)] if isinstance(stands_for, int) else sorted(stands_for.items())
    now = {row.label: row.arms for row in read.labels(conn, id_)}
    if now.get(label) == orjson.dumps(wanted).decode():
        return False
    fitting.check_move(conn, looking.find(conn, id_, by.tenant), label, wanted)
    write.move(conn, routes, id_, label, wanted, by.who, "imported")
    return True
