"""The prompts that come from files: those shipped inside this package, and those of a folder of the user's."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from prompts import files
from prompts.errors import BadPromptFile, BadVariables, ChangedPrompt, UnknownPrompt
from prompts.files import ORIGIN, Prompt, Variable, Version
from prompts.pin import Pin
from prompts.render import Rendered, render

_MOST_NAMED = 20


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
        return Pin(self.prompt.slug, self.version.version, self.digest)

    def check(self, variables: Mapping[str, Any]) -> None:
        """`BadVariables` for one that is missing, not of this version, or of another type."""
        filled(self.prompt.slug, self.variables, variables)

    def render(self, variables: Mapping[str, Any]) -> Rendered:
        """The text to send. Raises what `check` raises, and `BadTemplate` or `TooMuch` where these values break it."""
        slug = self.prompt.slug
        return render(slug, self.version, filled(slug, self.variables, variables), self.variables)


class Library:
    """Prompts by slug. Nothing is read before `load`."""

    def __init__(self, prompts: Iterable[Prompt]) -> None:
        self._prompts = {prompt.slug: prompt for prompt in sorted(prompts, key=lambda prompt: prompt.slug)}
        self._wordings: dict[tuple[str, int], Wording] = {}
        self._digest = ""

    @classmethod
    def load(cls, path: Path | None = None, *, beside: Path | None = None) -> "Library":
        """Every `*.yaml` in `path`; without one, the library that the package carries, also from a wheel.

        `beside`: a second folder. A slug in both is a `BadPromptFile`: operations rely on the shipped wordings.
        """
        found = _read(resources("prompts").joinpath("library") if path is None else path)
        if beside is None:
            return cls(found)
        if not beside.is_dir():
            raise BadPromptFile(f"{beside}: there is no such folder")
        own, shipped = _read(beside), {prompt.slug for prompt in found}
        for prompt in own:
            if prompt.slug in shipped:
                raise BadPromptFile(
                    f"{beside / prompt.slug}.yaml: slug: '{prompt.slug}' is a shipped prompt's; choose another"
                )
        return cls([*found, *own])

    def slugs(self) -> tuple[str, ...]:
        return tuple(self._prompts)

    def get(self, name: str) -> Prompt:
        """By slug or by id."""
        slug = name.removeprefix(ORIGIN)
        try:
            return self._prompts[slug]
        except KeyError:
            raise UnknownPrompt(
                f"there is no prompt '{name}'; there are {_some(self._prompts)}{_near(slug, self._prompts)}"
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

    def wording(self, slug: str, version: int | None = None) -> Wording:
        """That version with all that it depends on; the newest when none is named."""
        prompt, found = self.get(slug), self.version(slug, version)
        key = prompt.slug, found.version
        if key not in self._wordings:
            self._wordings[key] = Wording(prompt, found, prompt.used(found), prompt.digest(found))
        return self._wordings[key]

    def digest(self) -> str:
        """Of the newest wording of every prompt."""
        if not self._digest:
            told = "".join(f"{slug} {self.wording(slug).digest}\n" for slug in self._prompts)
            self._digest = hashlib.sha256(told.encode()).hexdigest()
        return self._digest

    def pinned(self, pin: Pin) -> Wording:
        """The very wording that was pinned, or `UnknownPrompt`, or `ChangedPrompt` when its number says something else now."""
        wording = self.wording(pin.slug, pin.version)
        if wording.digest != pin.digest:
            raise ChangedPrompt(f"version {pin.version} of the prompt '{pin.slug}' says something else here")
        return wording

    def render(self, slug: str, version: int | None = None, **variables: Any) -> Rendered:
        """The text to send. `BadVariables` for one that is missing, not declared, or of another type."""
        return self.wording(slug, version).render(variables)


def _read(folder: Any) -> list[Prompt]:
    found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".yaml")), key=lambda e: e.name)
    return [files.read(entry.name, entry.read_text(encoding="utf-8")) for entry in found]


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    return ", ".join(listed[:_MOST_NAMED]) + more if listed else "none"


def _near(name: str, names: Iterable[str]) -> str:
    found = get_close_matches(name, list(names), n=1)
    return f" (did you mean '{found[0]}'?)" if found else ""


def filled(slug: str, declared: Iterable[Variable], given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` with the defaults, after its names and types were checked."""
    known = {variable.name: variable for variable in declared}
    unknown = sorted(set(given) - set(known))
    if unknown:
        name = unknown[0]
        raise BadVariables(f"the prompt '{slug}' has no variable '{name}'; it has {_some(known)}{_near(name, known)}")
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
