"""Prompts as YAML: what `prompts export` writes and `prompts import` reads. One way and back, nothing is lost: every version keeps
its number and its digest, and what it included is named with the version that it took over.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
import yaml
from pydantic import ConfigDict, Field, ValidationError, model_validator
from sqlalchemy import Connection, Row

from prompts.includes import renumbered
from prompts.registered import NEWEST
from schemas.execute_prompt import Label
from schemas.prompts import About, Slug, Weights, Wording
from store.registry import read
from streams.decode import sentence
from streams.prompting.looking import arms, version
from streams.prompting.registry import BadPrompt

Number = Annotated[int, Field(strict=True, ge=1)]


class SheetVersion(Wording):
    """A version with its number."""

    version: Number
    notes: Annotated[str, Field(strict=True, min_length=1, max_length=2000)]


class Sheet(About):
    """A prompt with all of its versions and its labels."""

    model_config = ConfigDict(extra="forbid")

    slug: Slug
    archived: bool | None = None
    """None: as it is where the sheet goes."""
    labels: Annotated[dict[Label, Number | Weights], Field(default_factory=dict)]
    versions: Annotated[list[SheetVersion], Field(min_length=1)]

    @model_validator(mode="after")
    def _numbers_name_its_versions(self) -> "Sheet":
        numbers = {each.version for each in self.versions}
        if len(numbers) < len(self.versions):
            raise ValueError(f"versions: a number stands twice in the sheet of '{self.slug}'")
        if NEWEST in self.labels:
            raise ValueError(f"labels: `{NEWEST}` is always the newest version; leave it out")
        for label, stands_for in self.labels.items():
            if lost := sorted(set(weighed(stands_for)) - numbers):
                raise ValueError(f"labels: {label} of '{self.slug}' names version {lost[0]}, which is not in the sheet")
        return self


def weighed(stands_for: int | Mapping[int, int]) -> Mapping[int, int]:
    """A label's versions with their weights."""
    return {stands_for: 1} if isinstance(stands_for, int) else stands_for


def exported(conn: Connection, prompt: Row[Any]) -> str:
    """One YAML document."""
    told: dict[str, Any] = {
        "slug": prompt.slug,
        "name": prompt.name,
        "description": prompt.description,
        "category": prompt.category,
        "tags": orjson.loads(prompt.tags),
        "is_public": prompt.is_public,
        "archived": prompt.archived_at is not None,
        "labels": {row.label: _numbers(arms(row.arms)) for row in read.labels(conn, prompt.id)},
        "versions": [_version(version(row)) for row in reversed(read.versions(conn, prompt.id))],
    }
    return yaml.dump(told, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def _numbers(stands_for: int | dict[str, int]) -> int | dict[int, int]:
    return stands_for if isinstance(stands_for, int) else {int(number): weight for number, weight in stands_for.items()}


def _version(told: Mapping[str, Any]) -> dict[str, Any]:
    newest: dict[str, int] = {}
    for each in told.get("includes", ()):  # without a number it was the newest then, and so the highest that is named
        newest[each["slug"]] = max(each["version"], newest.get(each["slug"], 0))
    fields = ("version", "notes", "system", "template", "variables", "input_schema", "output_schema", "preferences")
    found = {name: told[name] for name in fields if told[name] not in (None, [], {})}
    for name in ("system", "template"):
        if name in found and newest:
            found[name] = renumbered(found[name], lambda slug, number: newest[slug] if number is None else number)
    return found


class _Dumper(yaml.SafeDumper):
    """Templates as people read them."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if _BREAKS.intersection(value) else "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_BREAKS = frozenset("\x85\u2028\u2029")
"""To YAML they end a line, and some are read as another end of it."""


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
