"""The prompts that come from files: those shipped inside this package, and those of a folder of the user's."""

import hashlib
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import replace
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from prompts import files
from prompts.errors import BadPromptFile, ChangedPrompt, UnknownPrompt
from prompts.files import ORIGIN, Prompt, Version
from prompts.kept import Kept
from prompts.naming import near, some
from prompts.registered import NO_WISH, PRODUCTION, Entry, Found, Registry, Wish
from prompts.render import Rendered
from prompts.wording import Wording
from schemas.pin import Pin


class Library:
    """Prompts by slug. Nothing is read before `load`."""

    def __init__(self, prompts: Iterable[Prompt]) -> None:
        self._prompts = {prompt.slug: prompt for prompt in sorted(prompts, key=lambda prompt: prompt.slug)}
        self._wordings: dict[tuple[str, int], Wording] = {}
        self._digest = ""
        self._registry = Registry()
        self._own: Mapping[str, Entry] = {}

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
                f"there is no prompt '{name}'; there are {some(self._prompts)}{near(slug, self._prompts)}"
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

    def register(self, entries: Iterable[Entry], kept: Kept) -> None:
        """What the registry holds now, all of it; it goes before the files, from whose prompts it was begun."""
        self._registry = Registry(entries, kept)
        self._own = self._registry.own(self._prompts)

    def as_of(self, entries: Iterable[Entry], kept: Kept) -> "Library":
        """The same prompts of files beside a registry as it was; nothing changes it any more."""
        found = copy(self)
        found.register(entries, kept)
        return found

    def chosen(self, name: str, wish: Wish = NO_WISH) -> tuple[Wording, Found]:
        """The wording that a request means, and how it was found.

        Raises `UnknownPrompt` for a prompt, version or label that is not there; the message names those that are; and `UnreadPrompt`
        for a version of the registry that is not in memory.
        """
        entry = self._registry.find(name, wish.tenant)
        if entry is not None:
            found = entry.choose(wish)
            return self._registry.wording(entry, found.version), found
        if wish.label is not None:
            self.get(name)
            raise UnknownPrompt(f"the prompt '{name}' has no label '{wish.label}'; it has none")
        if name.removeprefix(ORIGIN) not in self._prompts:
            listed = self.names(wish.tenant)
            raise UnknownPrompt(f"there is no prompt '{name}'; there are {some(listed)}{near(name, listed)}")
        wording = self.wording(name, wish.version)
        return wording, Found(wording.version.version)

    def own(self, slugs: Iterable[str], sticky: str) -> str | None:
        """Which of these prompts an operator has put `production` on, pinned; None, at no cost, where that is none of them. The
        others are asked in the words of their files.
        """
        if not self._own:
            return None
        found = []
        for slug in slugs:
            if (entry := self._own.get(slug)) is not None:
                chosen = entry.arm(PRODUCTION, sticky)
                pin = self._registry.wording(entry, chosen.version).pin
                found.append(str(replace(pin, label=chosen.label, weight=chosen.weight, of=chosen.of)))
        return "\n".join(found) or None

    def names(self, tenant: str) -> tuple[str, ...]:
        """The slugs that a tenant may call."""
        return tuple(sorted({*self._registry.slugs(tenant), *self._prompts}))

    def numbers(self, name: str, tenant: str) -> tuple[int, ...]:
        """The versions of one of them."""
        entry = self._registry.find(name, tenant)
        if entry is not None:
            return entry.versions
        return tuple(version.version for version in self.get(name).versions)

    def wording(self, slug: str, version: int | None = None) -> Wording:
        """That version of a file with all that it depends on; the newest when none is named."""
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
        entry = self._registry.of_id(pin.id)
        wording = self.wording(pin.name, pin.version) if entry is None else self._registry.wording(entry, pin.version)
        if wording.digest != pin.digest:
            raise ChangedPrompt(f"version {pin.version} of the prompt '{wording.prompt.slug}' says something else here")
        return wording

    def render(self, slug: str, version: int | None = None, **variables: Any) -> Rendered:
        """The text to send. `BadVariables` for one that is missing, not declared, or of another type."""
        return self.wording(slug, version).render(variables)


def _read(folder: Any) -> list[Prompt]:
    found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".yaml")), key=lambda e: e.name)
    return [files.read(entry.name, entry.read_text(encoding="utf-8")) for entry in found]
