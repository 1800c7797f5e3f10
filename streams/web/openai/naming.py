"""Models' names on these paths: who has answered, and which names may have been meant. What a name stands for, the router says."""

from collections.abc import Iterable
from difflib import get_close_matches


def told(asked: str, provider: str, model: str) -> str:
    """Who has answered, by a name that asks for the very same again: as it was asked for, where that says it all."""
    return asked if asked in {model, f"{provider}/{model}"} else f"{provider}/{model}"


def near(name: str, known: Iterable[str]) -> str:
    """A sentence with the names that look like this one; empty: none does."""
    found = get_close_matches(name.rpartition("/")[2] or name, list(known), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(found)}?" if found else ""
