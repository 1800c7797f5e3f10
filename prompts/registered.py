"""The prompts that people keep in the registry, as one process sees them: who may use which, and what its labels stand for."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prompts.errors import UnknownPrompt
from prompts.files import Prompt, Version
from prompts.kept import Kept
from prompts.naming import some
from prompts.variables import Variable
from prompts.wording import Wording

PRODUCTION = "production"
"""The label of a request that names none, where it is set; without it, the newest version."""
NEWEST = "latest"
"""A label that nobody sets: the newest version."""
SYSTEM = ""
"""The tenant of the prompts that come with the program; everybody may use them."""

Arms = tuple[tuple[int, int], ...]
"""What a label stands for: (version, weight), by version. One arm, unless two versions are compared."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Which version a request means, whose it is, and what keeps its choice: the same `sticky` gets the same arm."""

    version: int | None = None
    label: str | None = None
    tenant: str = SYSTEM
    sticky: str = ""


NO_WISH = Wish()


@dataclass(frozen=True, slots=True)
class Found:
    """Which version, and by which label; empty where it was named by its number, or is the newest. `weight`, `of`: its part of a
    label that stands for several.
    """

    version: int
    label: str = ""
    weight: int = 0
    of: int = 0


class RegisteredPrompt(Prompt):
    """One version, as a prompt of its own: in the registry each has variables of its own."""

    key: str

    @property
    def id(self) -> str:
        return self.key


@dataclass(frozen=True, slots=True)
class Entry:
    """One prompt. `versions`: the numbers of those that there are; what they say is kept apart."""

    id: str
    tenant: str
    slug: str
    description: str
    is_public: bool
    archived: bool
    versions: tuple[int, ...]
    labels: Mapping[str, Arms] = field(default_factory=dict)

    def choose(self, wish: Wish) -> Found:
        """The version, and the label that stands for it. Raises `UnknownPrompt`."""
        if self.archived:
            raise UnknownPrompt(f"the prompt '{self.slug}' is archived; restore it, or name another one")
        if wish.version is not None:
            if wish.version not in self.versions:
                raise UnknownPrompt(f"the prompt '{self.slug}' has no version {wish.version}; it has {self.numbers()}")
            return Found(wish.version)
        label = wish.label or (PRODUCTION if PRODUCTION in self.labels else NEWEST)
        if label == NEWEST:
            return Found(max(self.versions), wish.label or "")
        if label not in self.labels:
            raise UnknownPrompt(
                f"the prompt '{self.slug}' has no label '{label}'; it has {some([*sorted(self.labels), NEWEST])}"
            )
        return self.arm(label, wish.sticky)

    def arm(self, label: str, sticky: str) -> Found:
        """Of a label that there is: its one version, or the one that `sticky` gets."""
        arms = self.labels[label]
        version = arm(arms, f"{self.id} {label} {sticky}")
        if len(arms) == 1:
            return Found(version, label)
        return Found(version, label, dict(arms)[version], sum(weight for _, weight in arms))

    def numbers(self) -> str:
        """For a sentence."""
        return some(map(str, sorted(self.versions)))


def wording(id_: str, slug: str, description: str, told: Mapping[str, Any]) -> Wording:
    """From a version's fields, `variables` among them. Raises pydantic's ValidationError, which names each wrong one."""
    variables = tuple(Variable.model_validate(each) for each in told.get("variables") or ())
    version = Version.model_validate({name: value for name, value in told.items() if name != "variables"})
    prompt = RegisteredPrompt(key=id_, slug=slug, description=description, variables=variables, versions=(version,))
    return Wording(prompt, version, prompt.used(version), prompt.digest(version))


def arm(arms: Arms, sticky: str) -> int:
    """The version for `sticky`, by weight; the same one as long as the weights stand."""
    if len(arms) == 1:
        return arms[0][0]
    total = sum(weight for _, weight in arms)
    at = int.from_bytes(hashlib.blake2b(sticky.encode(errors="replace"), digest_size=8).digest()) % total
    for version, weight in arms:
        if at < weight:
            return version
        at -= weight
    raise AssertionError("the weights add up to less than their sum")


class Registry:
    """All entries, found by id, and by slug: the tenant's own first, then the system's."""

    def __init__(self, entries: Iterable[Entry] = (), kept: Kept | None = None) -> None:
        self._kept = kept or Kept()
        self._by_id = {entry.id: entry for entry in entries}
        self._by_slug = {(entry.tenant, entry.slug): entry for entry in self._by_id.values()}

    def of_id(self, id_: str) -> Entry | None:
        return self._by_id.get(id_)

    def wording(self, entry: Entry, version: int) -> Wording:
        """That version. Raises `UnknownPrompt`; `UnreadPrompt` where it is not in memory, which then knows that it was missed; and
        `ChangedPrompt` where the database holds what is no prompt.
        """
        if version not in entry.versions:
            raise UnknownPrompt(f"the prompt '{entry.slug}' has no version {version}; it has {entry.numbers()}")
        return self._kept.find((entry.id, version), entry.slug)

    def find(self, name: str, tenant: str) -> Entry | None:
        """By id where the tenant may see it, else by slug."""
        entry = self._by_id.get(name)
        if entry is not None and (entry.tenant in {tenant, SYSTEM} or entry.is_public):
            return entry
        return self._by_slug.get((tenant, name)) or self._by_slug.get((SYSTEM, name))

    def own(self, slugs: Iterable[str]) -> dict[str, Entry]:
        """Of the program's prompts those that `production` stands on."""
        found = ((slug, self._by_slug.get((SYSTEM, slug))) for slug in slugs)
        return {slug: e for slug, e in found if e is not None and PRODUCTION in e.labels and not e.archived}

    def slugs(self, tenant: str) -> tuple[str, ...]:
        """Those that a tenant may call by slug."""
        mine = {
            slug for (owner, slug), entry in self._by_slug.items() if owner in {tenant, SYSTEM} and not entry.archived
        }
        return tuple(sorted(mine))
