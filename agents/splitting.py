"""A text in parts, each within so many tokens: cut behind a sentence, else behind a word, else between two characters.

Nothing is left out and nothing stands in two parts: joined they are the text. The parts come out about equally long, since a
last part of three words makes a poor summary. Tokens are guessed (`providers/tokens.py`).
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from agents import sentences
from agents.folding import extends
from providers import tokens

_EVEN = 1.2
"""How much longer than the mean a part may be before it is cut: sentences end where they end."""
_LONGEST_WORD = 200
"""Characters; without a blank in so many, a word is cut too."""
_LONGEST_CHARACTER = 40
"""Code points of one character with its accents and joiners."""
_JOINER = "\u200d"


@dataclass(frozen=True, slots=True)
class Part:
    """`content[start : start + len(text)] == text`, counted in code points."""

    start: int
    text: str


def split(text: str, room: float) -> list[Part]:
    """The parts, in order, none of them above `room` tokens; a single character may be, if the room is that small."""
    total = tokens.weigh(text)
    if total <= room:
        return [Part(0, text)] if text else []
    target = min(room, total / math.ceil(total / room) * _EVEN)
    ends = list(sentences.ends(text))
    parts, start = [], 0
    while start < len(text):
        limit = _reach(text, start, target)
        end = limit if limit == len(text) else _cut(text, ends, start, limit)
        parts.append(Part(start, text[start:end]))
        start = end
    return parts


def _reach(text: str, start: int, room: float) -> int:
    """The furthest end of a part that begins at `start`; always behind its first character."""
    low, high = start + 1, start + max(1, int(room * 5))
    while high < len(text) and tokens.weigh(text[start:high]) <= room:
        low, high = high, start + 2 * (high - start)
    high = min(high, len(text))
    while low < high:
        middle = (low + high + 1) // 2
        if tokens.weigh(text[start:middle]) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def _cut(text: str, ends: Sequence[int], start: int, limit: int) -> int:
    """The best place for a part to end behind `start` and not behind `limit`."""
    last = bisect_right(ends, limit) - 1
    if last >= 0 and ends[last] > start:
        return ends[last]
    return _behind_word(text, start, limit) or _between_characters(text, start, limit)


def _behind_word(text: str, start: int, limit: int) -> int | None:
    for position in range(limit, max(start, limit - _LONGEST_WORD), -1):
        if text[position].isspace() or text[position - 1].isspace():
            return position
    return None


def _between_characters(text: str, start: int, limit: int) -> int:
    """Not inside an accented letter or a joined emoji, unless it is longer than any real one."""
    for position in range(limit, max(start, limit - _LONGEST_CHARACTER), -1):
        if not extends(text[position]) and text[position - 1] != _JOINER:
            return position
    return limit
