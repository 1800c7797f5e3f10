"""Who answers to a model's name on these paths: `provider/model`, or a bare model of the default provider.

A model's own name may hold slashes and colons: only what stands before the first slash can be a provider, and only if there
is one of that name.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from providers.base import Provider
from streams.app import Spine


def resolve(spine: Spine, name: str) -> tuple[str, str]:
    """(provider, model)."""
    return split(name, spine.providers, spine.settings.default_provider)


def split(name: str, providers: Mapping[str, Provider], default: str) -> tuple[str, str]:
    """The same, pure."""
    head, slash, rest = name.partition("/")
    return (head, rest) if slash and rest and head in providers else (default, name)


def told(asked: str, provider: str, model: str) -> str:
    """Who has answered, by a name that asks for the very same again: as it was asked for, where that says it all."""
    return asked if asked in {model, f"{provider}/{model}"} else f"{provider}/{model}"


def near(name: str, known: Iterable[str]) -> str:
    """A sentence with the names that look like this one; empty: none does."""
    found = get_close_matches(name.rpartition("/")[2] or name, list(known), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(found)}?" if found else ""
