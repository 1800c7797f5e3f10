"""From a prompt's version and its variables to the text that a model gets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prompts import sandbox
from prompts.fence import fence
from prompts.files import Version
from prompts.variables import Variable


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt ready to be sent, and which one it was, for the history of calls."""

    slug: str
    version: int
    system: str | None
    user: str


def render(slug: str, version: Version, values: Mapping[str, Any], declared: Iterable[Variable]) -> Rendered:
    """Fill in `values`. A variable of the type `content` arrives between delimiters that it cannot close."""
    fenced = {variable.name for variable in declared if variable.type == "content"}
    given = {name: fence(value) if name in fenced and value is not None else value for name, value in values.items()}
    system = None if version.system is None else sandbox.run(version.system, given).strip()
    return Rendered(slug, version.version, system or None, sandbox.run(version.user, given).strip())
