"""Facts that must be there and those that must not, and figures that the text does not have."""

from collections.abc import Sequence

from agents import sentences
from streams.quality.asks import MAX_SENTENCES
from streams.quality.figures import Answer, Figure, Judged, Output, holds, summed
from streams.quality.texts import Text
from streams.quality.words import invents, says_one


def judge(answers: Sequence[Answer]) -> Judged:
    return summed(answers, _look)


def _look(text: Text, output: Output) -> list[Figure]:
    summary = output["summary"] if output else ""
    return [
        holds("within length", len(sentences.split(summary)) <= MAX_SENTENCES, output, promise=True),
        Figure("facts", sum(says_one(summary, fact) for fact in text.must), len(text.must)),
        holds("no false fact", not says_one(summary, text.must_not), output),
        holds("no invented figure", not invents(summary, text.content), output),
    ]
