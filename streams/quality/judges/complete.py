"""A question to one text: the answer is there, and it is an answer and not the text."""

from collections.abc import Sequence

from streams.quality.figures import Answer, Figure, Judged, Output, holds, summed
from streams.quality.texts import Text
from streams.quality.words import invents, length, says_one

_LONGEST = 30
"""Words of one short sentence; the texts, which hold every answer, have about sixty."""


def judge(answers: Sequence[Answer]) -> Judged:
    return summed(answers, _look)


def _look(text: Text, output: Output) -> list[Figure]:
    answer, asked = output["content"] if output else "", text.question
    return [
        Figure("right", int(says_one(answer, asked.answers) and length(answer) <= _LONGEST), 1),
        holds("no invented figure", not invents(answer, text.content, asked.question), output),
    ]
