"""One version of one prompt, ready to be checked and rendered."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prompts import checks
from prompts.errors import BadVariables
from prompts.files import Prompt, Variable, Version
from prompts.naming import near, some
from prompts.render import Rendered, render
from schemas.pin import Pin


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Wording:
    """One version of one prompt, with the variables that this version uses."""

    prompt: Prompt
    version: Version
    variables: tuple[Variable, ...]
    digest: str

    @property
    def pin(self) -> Pin:
        """What names exactly this wording."""
        return Pin(self.prompt.id, self.version.version, self.digest)

    def check(self, variables: Mapping[str, Any]) -> None:
        """`BadVariables` for one that is missing, not of this version, or of another type."""
        values = filled(self.prompt.slug, self.variables, variables)
        if self.version.input_schema is not None:
            checks.against(self.prompt.slug, self.version.input_schema, values)

    def render(self, variables: Mapping[str, Any]) -> Rendered:
        """The text to send. Raises what `check` raises, and `BadTemplate` or `TooMuch` where these values break it."""
        slug = self.prompt.slug
        return render(slug, self.version, filled(slug, self.variables, variables), self.variables)


def filled(slug: str, declared: Iterable[Variable], given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` with the defaults, after its names and types were checked."""
    known = {variable.name: variable for variable in declared}
    unknown = sorted(set(given) - set(known))
    if unknown:
        name = unknown[0]
        raise BadVariables(f"the prompt '{slug}' has no variable '{name}'; it has {some(known)}{near(name, known)}")
    values = {}
    for name, variable in known.items():
        if name not in given and variable.required:
            raise BadVariables(f"the prompt '{slug}' needs the variable '{name}' ({variable.type})")
        values[name] = value = given.get(name, variable.default)
        if value is None and not variable.required:
            continue
        if not _FITS[variable.type](value):
            kind = type(value).__name__
            raise BadVariables(f"the variable '{name}' of the prompt '{slug}' is {variable.type}, not {kind}")
        if (why := _breaks(variable, value)) is not None:
            raise BadVariables(f"the variable '{name}' of the prompt '{slug}' {why}")
    return values


def _breaks(variable: Variable, value: Any) -> str | None:
    """What is wrong with a value of the right type; None: nothing."""
    if variable.choices is not None and value not in variable.choices:
        return f"is none of {some(map(repr, variable.choices))}"
    is_sized = hasattr(value, "__len__")
    size = len(value) if is_sized else value
    if isinstance(value, bool) or not isinstance(size, int | float):
        return None
    what = "items" if isinstance(value, list | dict) else "characters"
    if variable.least is not None and size < variable.least:
        return f"has {size} {what}, fewer than {variable.least:g}" if is_sized else f"is below {variable.least:g}"
    if variable.most is not None and size > variable.most:
        return f"has {size} {what}, more than {variable.most:g}" if is_sized else f"is above {variable.most:g}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_json(value: Any) -> bool:
    """Exact types only: a subclass could bring methods into the sandbox."""
    if isinstance(value, dict):
        return type(value) is dict and all(type(key) is str and _is_json(item) for key, item in value.items())
    if isinstance(value, list):
        return type(value) is list and all(map(_is_json, value))
    return value is None or type(value) in {str, int, float, bool}


_FITS = {
    "content": lambda value: type(value) is str,
    "text": lambda value: type(value) is str,
    "integer": lambda value: type(value) is int,
    "number": _is_number,
    "boolean": lambda value: type(value) is bool,
    "texts": lambda value: type(value) is list and all(type(item) is str for item in value),
    "json": _is_json,
}
