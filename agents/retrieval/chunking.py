"""A document in chunks to be found by: whole sentences, about so many tokens, each sharing its beginning with the end before.

A chunk knows its place: `document.text[start:end]` is its text. Only a sentence that is longer than a chunk is cut.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from agents import sentences, splitting
from agents.retrieval.document import Document
from agents.splitting import Part
from providers import tokens

TARGET = 128
"""Tokens, guessed. Small models that embed read 256 of their own, of which the guess is as few as .55 (`providers.tokens`)."""
OVERLAP = 24
_DENSE = re.compile(r"[A-Za-z0-9+/=_-]{100}")
"""No words but digests, keys or base64, of which a model makes up to so many times as many tokens:"""
_DENSER = 2.5


@dataclass(frozen=True, slots=True)
class _Unit:
    """A sentence, or a part of a long one. `gap`: the tokens of the blanks behind it."""

    start: int
    end: int
    weight: float
    gap: float


@dataclass(frozen=True, slots=True)
class Chunk:
    """`text[start:end]` of its document, without blanks around it."""

    number: int
    start: int
    end: int
    text: str
    pages: tuple[tuple[int, int], ...] = ()
    """Offset and number of each page that it stands on, where its document has pages."""
    heading: str | None = None
    """Under which it begins."""


def chunk(document: Document, target: int = TARGET, overlap: int = OVERLAP) -> list[Chunk]:
    """In the order of the text; nothing but blanks is left out. None is above `target` tokens, of which `overlap` at most, and
    at most half of them, stood in the one before.
    """
    units = list(_units(document.text, target))
    found = []
    for number, (start, end) in enumerate(_windows(units, target, min(overlap, target / 2))):
        section = document.at(start)
        heading = None if section is None else section.heading
        text = document.text[start:end]
        found.append(Chunk(number, start, end, text, document.pages(start, end), heading))
    return found


def _units(text: str, target: int) -> Iterator[_Unit]:
    spans = list(_spans(text, target))
    for (start, end), following in zip_longest(spans, (begins for begins, _ in spans[1:])):
        yield _Unit(start, end, _weigh(text[start:end]), tokens.weigh(text[end:following]) if following else 0.0)


def _weigh(sentence: str) -> float:
    return tokens.weigh(sentence) * (_DENSER if _DENSE.search(sentence) else 1.0)


def _spans(text: str, target: int) -> Iterator[tuple[int, int]]:
    """Sentences, those above `target` in parts; without the blanks around them."""
    start = 0
    for end in (*sentences.ends(text), len(text)):
        sentence = text[start:end]
        room = target / _DENSER if _DENSE.search(sentence) else target
        short = tokens.weigh(sentence) <= room
        for part in [Part(0, sentence)] if short else splitting.split(sentence, room):
            if words := part.text.strip():
                begins = start + part.start + part.text.index(words)
                yield begins, begins + len(words)
        start = end


def _windows(units: list[_Unit], target: float, overlap: float) -> Iterator[tuple[int, int]]:
    """Runs of units that fit together; the next one goes back over as many of them as `overlap` holds."""
    first = 0
    while first < len(units):
        last, weight = first, units[first].weight
        while last + 1 < len(units) and weight + units[last].gap + units[last + 1].weight <= target:
            weight += units[last].gap + units[last + 1].weight
            last += 1
        yield units[first].start, units[last].end
        if last + 1 == len(units):
            return
        first = _back(units, first, last, min(overlap, target - units[last + 1].weight))


def _back(units: list[_Unit], first: int, last: int, room: float) -> int:
    """Where the next window begins: behind `first`, and so that the unit behind `last` fits into it."""
    begins = last + 1
    while begins - 1 > first and units[begins - 1].weight + units[begins - 1].gap <= room:
        begins -= 1
        room -= units[begins].weight + units[begins].gap
    return begins
