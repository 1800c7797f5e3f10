"""What was masked in one request, and the placeholders that stand for it: the same value has the same one in every call."""

import re
from collections.abc import Callable

import orjson

from agents.guards.finding import Kind

_PLACEHOLDER = re.compile(r"\[[A-Z]{4,8}_[0-9]+\]")


class Vault:
    """Placeholders are numbered in the order of their first sight, so a request that is run again masks as it did before."""

    def __init__(self) -> None:
        self._placeholders: dict[str, str] = {}
        self._values: dict[str, str] = {}
        self._taken: set[str] = set()

    def avoid(self, text: str) -> None:
        """What a text itself holds that looks like a placeholder is none of ours."""
        self._taken.update(_PLACEHOLDER.findall(text))

    def mask(self, text: str, kind: Kind) -> tuple[str, int]:
        """With placeholders, and how many different values were found."""
        found = kind.find(text)
        wanted = set(found)
        for value in found:
            if value not in self._placeholders:
                placeholder = self._next(kind.name)
                self._placeholders[value], self._values[placeholder] = placeholder, value
        if found:
            text = kind.look.sub(lambda match: self._placeholders[match[0]] if match[0] in wanted else match[0], text)
        return text, len(found)

    def restore(self, text: str, *, is_json: bool = False) -> str:
        """With the values in their places; inside of JSON they are written as a string needs them."""
        if not self._values:
            return text
        written: Callable[[str], str] = _escaped if is_json else str
        return _PLACEHOLDER.sub(
            lambda found: written(self._values[found[0]]) if found[0] in self._values else found[0], text
        )

    def _next(self, name: str) -> str:
        number = 1
        while (made := f"[{name}_{number}]") in self._taken or made in self._values:
            number += 1
        return made


def _escaped(value: str) -> str:
    return orjson.dumps(value).decode()[1:-1]
