"""One version of one prompt, ready to be checked and rendered."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prompts import checks
from prompts.errors import BadVariables
from prompts.files import Prompt, Version
from prompts.naming import near, some
from prompts.render import Rendered, render
from prompts.variables import Variable
from schemas.pin import Pin


@dataclass(frozen=True, slots=True)
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
        if (why := variable.unfit(value)) is not None:
            raise BadVariables(f"the variable '{name}' of the prompt '{slug}' {why}")
    return values
