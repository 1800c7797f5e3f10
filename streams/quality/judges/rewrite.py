"""Told anew: what must stay is there, what must go is not, and it is no copy."""

from collections.abc import Sequence

from streams.quality.asks import MAX_WORDS
from streams.quality.figures import Answer, Figure, Judged, Output, holds, summed
from streams.quality.texts import Text
from streams.quality.words import copied, invents, length, says_one

_COPIED = 0.5
"""From here on it is the text itself, shortened."""


def judge(answers: Sequence[Answer]) -> Judged:
    return summed(answers, _look)


def _look(text: Text, output: Output) -> list[Figure]:
    content, wished = output["content"] if output else "", text.rewriting
    kept = sum(says_one(content, fact) for fact in wished.keep)
    return [
        holds("within length", length(content) <= MAX_WORDS, output, promise=True),
        Figure("facts", kept, len(wished.keep)),
        holds("as told", not says_one(content, wished.out), output),
        holds("own words", copied(content, text.content) < _COPIED, output),
        holds("no false fact", not says_one(content, text.must_not), output),
        holds("no invented figure", not invents(content, text.content), output),
    ]
