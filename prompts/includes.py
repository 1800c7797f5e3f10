"""`{% include "slug" %}` in a template of the registry: the other prompt's template is taken over, once, when the version is made.

So a version says the same for ever, and nothing is looked up while a prompt is rendered. A prompt that is included again
inside of what it includes is refused: such a loop has no end.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from prompts.budget import LIMITS
from prompts.errors import BadTemplate, TooMuch

_INCLUDE = re.compile(r"\{%-?\s*include\s+(['\"])([a-z][a-z0-9_-]*)(?:@(\d{1,9}))?\1\s*-?%\}\n?")
_DEEPEST = 10


@dataclass(frozen=True, slots=True)
class Source:
    """A template as it was written, and which version it is."""

    slug: str
    version: int
    text: str


Find = Callable[[str, int | None], Source]
"""The template of a slug, of its newest version where none is named. Raises `UnknownPrompt`."""


def expanded(slug: str, text: str, find: Find) -> tuple[str, tuple[tuple[str, int], ...]]:
    """`text` without includes, and which versions were taken over. Raises `BadTemplate` for a loop, and what `find` raises."""
    taken: dict[tuple[str, int], None] = {}
    found = _expanded(text, find, (slug,), taken)
    return found, tuple(taken)


def _expanded(text: str, find: Find, inside: tuple[str, ...], taken: dict[tuple[str, int], None]) -> str:
    parts, end, size = [], 0, 0
    for match in _INCLUDE.finditer(text):
        name, number = match[2], match[3]
        if name in inside:
            raise BadTemplate(f"the prompt includes itself: {' → '.join((*inside, name))}; take one of these out")
        if len(inside) > _DEEPEST:
            raise TooMuch(f"prompts include each other more than {_DEEPEST} deep: {' → '.join(inside)}")
        source = find(name, int(number) if number else None)
        taken[source.slug, source.version] = None
        parts += [text[end : match.start()], _expanded(source.text, find, (*inside, name), taken)]
        size += sum(map(len, parts[-2:]))
        if size > LIMITS.template:
            raise TooMuch(f"with what it includes the template has more than {LIMITS.template} characters")
        end = match.end()
    return "".join([*parts, text[end:]])
