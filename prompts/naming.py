"""Names in sentences: those that there are, and the one that was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

_MOST_NAMED = 20


def some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    return ", ".join(listed[:_MOST_NAMED]) + more if listed else "none"


def near(name: str, names: Iterable[str]) -> str:
    found = get_close_matches(name, list(names), n=1)
    return f" (did you mean '{found[0]}'?)" if found else ""
