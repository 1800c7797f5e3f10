"""What every format becomes: one text, and where in it pages and headings begin."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

GAP = "\n\n"
"""Between two sections; a sentence never goes over it."""


@dataclass(frozen=True, slots=True)
class Section:
    """`text[start:end]` of its document: a page, or what stands below a heading."""

    start: int
    end: int
    page: int | None = None
    """From 1, where the format has pages."""
    heading: str | None = None


@dataclass(frozen=True)
class Document:
    """`name` is what its sender calls it; `sections` are in the order of the text. Offsets are code points of `text`."""

    name: str
    media_type: str
    text: str
    sections: tuple[Section, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences about what could not be read in it."""

    @cached_property
    def _starts(self) -> list[int]:
        return [section.start for section in self.sections]

    def at(self, offset: int) -> Section | None:
        """The section in which this character stands, or behind which it does; None before the first one."""
        number = bisect_right(self._starts, offset) - 1
        return self.sections[number] if number >= 0 else None

    def pages(self, start: int, end: int) -> tuple[tuple[int, int], ...]:
        """Where each page of `text[start:end]` begins, and its number."""
        first = max(0, bisect_right(self._starts, start) - 1)
        among = self.sections[first : bisect_right(self._starts, end - 1)]
        return tuple((max(start, each.start), each.page) for each in among if each.page is not None)


@dataclass(frozen=True, slots=True)
class Piece:
    """A section before it has its place in the text."""

    text: str
    page: int | None = None
    heading: str | None = None


def joined(name: str, media_type: str, pieces: Sequence[Piece], notes: Sequence[str] = ()) -> Document:
    """The pieces as one document; blank ones leave no section."""
    kept = [piece for piece in pieces if piece.text.strip()]
    sections, offset = [], 0
    for piece in kept:
        sections.append(Section(offset, offset + len(piece.text), piece.page, piece.heading))
        offset += len(piece.text) + len(GAP)
    return Document(name, media_type, GAP.join(piece.text for piece in kept), tuple(sections), tuple(notes))
