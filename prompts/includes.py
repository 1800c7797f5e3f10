"""`{% include "slug" %}` in a template of the registry: the other prompt's template is taken over, once, when the version is made.

So a version says the same for ever, and nothing is looked up while a prompt is rendered. What is taken over is what that version
says, with what it took over itself when it was made. A prompt that is included again inside of what it includes is refused: such
a loop would go one round further with each version.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from prompts.budget import LIMITS
from prompts.errors import BadTemplate, TooMuch

_INCLUDE = re.compile(r"\{%-?\s*include\s+(['\"])([a-z][a-z0-9_-]*)(?:@(\d{1,9}))?\1\s*-?%\}\n?")


@dataclass(frozen=True, slots=True)
class Source:
    """What a version says without includes, and which one it is. `within`: the slugs of all that it took over."""

    slug: str
    version: int
    text: str
    within: frozenset[str] = frozenset()


Find = Callable[[str, int | None], Source]
"""The template of a slug, of its newest version where none is named. Raises `UnknownPrompt`."""


def expanded(slug: str, text: str, find: Find) -> tuple[str, list[Source]]:
    """`text` without includes, and what was taken over. Raises `BadTemplate` for a loop, and what `find` raises."""
    parts, end, size = [], 0, 0
    taken: list[Source] = []
    for match in _INCLUDE.finditer(text):
        name, number = match[2], match[3]
        if name == slug:
            raise BadTemplate(f"the prompt includes itself: {slug} → {slug}; take this out")
        source = find(name, int(number) if number else None)
        if slug in source.within:
            raise BadTemplate(f"the prompt includes itself: {slug} → {name} → {slug}; take one of these out")
        taken.append(source)
        parts += [text[end : match.start()], source.text]
        size += sum(map(len, parts[-2:]))
        if size > LIMITS.template:
            raise TooMuch(f"with what it includes the template has more than {LIMITS.template} characters")
        end = match.end()
    return "".join([*parts, text[end:]]), taken


def named(text: str) -> list[tuple[str, int | None]]:
    """The slug and the number of each include; None: the newest version."""
    return [(match[2], int(match[3]) if match[3] else None) for match in _INCLUDE.finditer(text)]


def renumbered(text: str, number: Callable[[str, int | None], int | None]) -> str:
    """`text` with the number that each include gets for its slug and the number that it has."""
    parts, end = [], 0
    for match in _INCLUDE.finditer(text):
        before = int(match[3]) if match[3] else None
        after = number(match[2], before)
        if after != before:
            parts += [text[end : match.end(2)], f"@{after}"]
            end = match.end(3) if match[3] else match.end(2)
    return "".join([*parts, text[end:]])
