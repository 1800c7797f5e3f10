"""Where the names that a model gives really stand in a text.

What is published is always the text's own slice, so that `content[start:end] == text`, counted in code points. A name
is looked for as whole words, as it is; then in another spelling (`agents.folding`); only then inside words.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from agents.folding import Folded, extends
from schemas.extract import Entity

MAX_NAME = 1000
"""Characters; a longer 'name' is a copied passage."""
_MOST_PLACES = 1000
"""Occurrences of one name that are looked at for a free one."""
_UNSPACED = ((0x0E00, 0x109F), (0x1100, 0x11FF), (0x1780, 0x17FF), (0x2E80, 0xD7FF), (0xF900, 0xFAFF), (0xFF00, 0xFFEF))
"""Scripts that put no spaces between words, or hang endings on names: there, every character is a word's edge."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Named:
    """A text and a type as the model gave them."""

    text: str
    type: str


@dataclass(frozen=True, slots=True)
class Grounded:
    """What occurs, by position, and how many did not."""

    entities: list[Entity]
    invented: int


def ground(content: str, named: Sequence[Named]) -> Grounded:
    """Each name at its first occurrence that no other one has; a name given more often than it occurs counts once.

    Longer names choose first: in 'New York Times, New York' the name 'New York' is the second one.
    """
    text = _Text(content)
    taken: dict[Span, list[str]] = {}
    invented = 0
    for name in sorted(named, key=lambda name: -len(name.text)):
        span = _place(text, name, taken)
        if span is None:
            invented += 1
        elif name.type not in taken.setdefault(span, []):
            taken[span].append(name.type)
    found = [
        Entity(text=content[start:end], type=kind, start=start, end=end)
        for (start, end), kinds in sorted(taken.items())
        for kind in kinds
    ]
    return Grounded(found, invented)


def _place(text: "_Text", name: Named, taken: dict[Span, list[str]]) -> Span | None:
    """A free place; else its twin's; else one inside a longer name; else another type's. None: it does not occur."""
    inside: Span | None = None
    others: list[Span] = []
    for span in islice(text.spans(name.text.strip()), _MOST_PLACES):
        if not any(start < span[1] and span[0] < end for start, end in taken):
            return span
        if span in taken:
            others.append(span)
        else:
            inside = inside or span
    twin = next((span for span in others if name.type in taken[span]), None)
    return twin or inside or (others[0] if others else None)


class _Text:
    """The text to search; folded only once a name is not in it as it is."""

    def __init__(self, content: str) -> None:
        self._content = content

    @cached_property
    def _folded(self) -> Folded:
        return Folded(self._content)

    def spans(self, wanted: str) -> Iterator[Span]:
        """The places of the best kind that there is one of."""
        if not wanted or len(wanted) > MAX_NAME:
            return
        for places in (self._as_words, self._spelled_otherwise, self._exact):
            found = places(wanted)
            first = next(found, None)
            if first is not None:
                yield first
                yield from found
                return

    def _as_words(self, wanted: str) -> Iterator[Span]:
        return filter(self._at_words, self._exact(wanted))

    def _spelled_otherwise(self, wanted: str) -> Iterator[Span]:
        return filter(self._at_words, self._folded.spans(Folded(wanted)))

    def _exact(self, wanted: str) -> Iterator[Span]:
        found = self._content.find(wanted)
        while found >= 0:
            end = found + len(wanted)
            if not self._splits(found) and not self._splits(end):
                yield found, end
            found = self._content.find(wanted, found + 1)

    def _splits(self, position: int) -> bool:
        """Whether `position` parts a character from its accents. White space has none."""
        inside = 0 < position < len(self._content)
        return inside and extends(self._content[position]) and not self._content[position - 1].isspace()

    def _at_words(self, span: Span) -> bool:
        return not any(
            0 < edge < len(self._content) and _in_word(self._content[edge - 1]) and _in_word(self._content[edge])
            for edge in span
        )


def _in_word(character: str) -> bool:
    code = ord(character)
    spaced = code < 0x20000 and not any(first <= code <= last for first, last in _UNSPACED)
    return spaced and (character.isalnum() or extends(character))
