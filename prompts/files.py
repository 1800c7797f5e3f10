"""A prompt file: one YAML document per prompt, `<slug>.yaml`, checked by Pydantic.

A version that was ever published is never edited: its number stands in the history of calls. `versions.lock` beside the
shipped files holds a digest of each version, and `prompts.lock` finds the one that was changed without a new number.
"""

import hashlib
from collections.abc import Iterable
from typing import Annotated, Any

import jsonschema_rs
import orjson
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from prompts import sandbox
from prompts.errors import BadPromptFile, PromptError
from prompts.variables import Variable

ORIGIN = "library/"
"""Before the slug, in the id of a prompt that comes from a file."""


class Preferences(BaseModel):
    """What a request that does not say gets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class Version(BaseModel):
    """One published wording."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Annotated[int, Field(ge=1, strict=True)]
    system: str | None = None
    user: Annotated[str, Field(min_length=1)]
    input_schema: dict[str, Any] | None = None
    """A JSON Schema of the variables together, where types and checks of each do not say enough."""
    output_schema: dict[str, Any] | None = None
    """The JSON Schema of the answer; None: the answer is text."""
    preferences: Preferences = Preferences()
    notes: Annotated[str, Field(min_length=1)]
    """What changed and why, for whoever compares two versions."""

    @field_validator("input_schema", "output_schema")
    @classmethod
    def _is_a_schema(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        try:
            if schema is not None:
                jsonschema_rs.validator_for(schema, offline=True, pattern_options=jsonschema_rs.RegexOptions())
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            said = getattr(error, "message", None) or str(error)
            raise ValueError(f"is not a JSON Schema: {said[:300]}") from error
        return schema

    def sources(self) -> tuple[str, ...]:
        return (self.user,) if self.system is None else (self.system, self.user)


class Prompt(BaseModel):
    """A prompt with all of its versions; the last one is the current one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slug: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=100)]
    description: str = ""
    variables: tuple[Variable, ...] = ()
    versions: Annotated[tuple[Version, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _numbered_and_declared(self) -> "Prompt":
        names = [variable.name for variable in self.variables]
        if len(set(names)) < len(names):
            raise ValueError("variables: a name stands there twice")
        numbers = [version.version for version in self.versions]
        if numbers != sorted(set(numbers)):
            raise ValueError(f"versions: the numbers {numbers} do not grow from one to the next")
        for index, version in enumerate(self.versions):
            _check_templates(f"versions.{index}", version, set(names))
        return self

    @property
    def id(self) -> str:
        """What names it beside prompts of other origin."""
        return f"{ORIGIN}{self.slug}"

    def used(self, version: Version) -> tuple[Variable, ...]:
        """The variables of this version: another one's need not be given, and may not be."""
        names = set().union(*map(sandbox.unknowns, version.sources()))
        return tuple(variable for variable in self.variables if variable.name in names)

    def digest(self, version: Version) -> str:
        """A hash over all that this version's text and the form of its answer depend on."""
        variables = sorted((item.told() for item in self.used(version)), key=lambda told: str(told[0]))
        told: list[Any] = [version.system, version.user, variables]
        if version.output_schema is not None:
            told.append(version.output_schema)
        if version.input_schema is not None:
            told.append({"input_schema": version.input_schema})
        if preferred := version.preferences.model_dump(exclude_none=True):
            told.append({"preferences": preferred})
        return hashlib.sha256(orjson.dumps(told)).hexdigest()


def _check_templates(where: str, version: Version, declared: set[str]) -> None:
    for field in ("system", "user"):
        source = getattr(version, field)
        try:
            unknown = sandbox.unknowns(source) - declared if source else set()
        except PromptError as error:
            raise ValueError(f"{where}.{field}: {error}") from error
        if unknown:
            raise ValueError(f"{where}.{field}: uses {_listed(unknown)}, which `variables` does not declare")


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""In C where the wheel has it, at a tenth of the CPU."""


def read(name: str, text: str) -> Prompt:
    """The prompt in the file `name`; `BadPromptFile` names the file and each wrong field."""
    try:
        prompt = Prompt.model_validate(yaml.load(text, _LOADER))  # noqa: S506 - either is a safe one
    except yaml.YAMLError as error:
        raise BadPromptFile(f"{name}: not YAML: {error}") from error
    except ValidationError as error:
        raise BadPromptFile(f"{name}: {_reasons(error)}") from error
    if name != f"{prompt.slug}.yaml":
        raise BadPromptFile(f"{name}: slug: is '{prompt.slug}'; name the file {prompt.slug}.yaml")
    return prompt


def _reasons(error: ValidationError) -> str:
    lines = []
    for item in error.errors(include_url=False):
        where = ".".join(map(str, item["loc"]))
        said = item["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {said}" if where else said)
    return "; ".join(lines)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))
