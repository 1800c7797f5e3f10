"""The prompts of one folder: by default those shipped inside this package."""

from collections.abc import Iterable, Mapping
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from prompts import files
from prompts.errors import BadVariables, UnknownPrompt
from prompts.files import Prompt, Variable, Version
from prompts.render import Rendered, render


class Library:
    """Prompts by slug. Nothing is read before `load`."""

    def __init__(self, prompts: Iterable[Prompt]) -> None:
        self._prompts = {prompt.slug: prompt for prompt in sorted(prompts, key=lambda prompt: prompt.slug)}

    @classmethod
    def load(cls, path: Path | None = None) -> "Library":
        """Every `*.yaml` in `path`; without one, the library that the package carries, also from a wheel."""
        folder = resources("prompts").joinpath("library") if path is None else path
        found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".yaml")), key=lambda e: e.name)
        return cls(files.read(entry.name, entry.read_text(encoding="utf-8")) for entry in found)

    def slugs(self) -> tuple[str, ...]:
        return tuple(self._prompts)

    def get(self, slug: str) -> Prompt:
        try:
            return self._prompts[slug]
        except KeyError:
            raise UnknownPrompt(
                f"there is no prompt '{slug}'; there are {', '.join(self._prompts) or 'none'}"
            ) from None

    def version(self, slug: str, version: int | None = None) -> Version:
        """That version; the newest when none is named."""
        versions = self.get(slug).versions
        if version is None:
            return versions[-1]
        for candidate in versions:
            if candidate.version == version:
                return candidate
        known = ", ".join(str(candidate.version) for candidate in versions)
        raise UnknownPrompt(f"the prompt '{slug}' has no version {version}; it has {known}")

    def render(self, slug: str, version: int | None = None, **variables: Any) -> Rendered:
        """The text to send. `BadVariables` for one that is missing, not declared, or of another type."""
        prompt = self.get(slug)
        return render(slug, self.version(slug, version), filled(slug, prompt.variables, variables), prompt.variables)


def filled(slug: str, declared: Iterable[Variable], given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` with the defaults, after its names and types were checked."""
    known = {variable.name: variable for variable in declared}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise BadVariables(f"the prompt '{slug}' has no variable '{unknown[0]}'; it has {', '.join(known) or 'none'}")
    values = {}
    for name, variable in known.items():
        if name not in given and variable.required:
            raise BadVariables(f"the prompt '{slug}' needs the variable '{name}' ({variable.type})")
        values[name] = value = given.get(name, variable.default)
        if not (value is None and not variable.required) and not _FITS[variable.type](value):
            kind = type(value).__name__
            raise BadVariables(f"the variable '{name}' of the prompt '{slug}' is {variable.type}, not {kind}")
    return values


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
