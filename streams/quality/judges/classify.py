"""Accuracy; and every category was asked for."""

from collections.abc import Sequence

from streams.quality.figures import Answer, Figure, Judged, Output, holds, summed
from streams.quality.texts import Text, categories


def judge(answers: Sequence[Answer]) -> Judged:
    names = categories()

    def look(text: Text, output: Output) -> list[Figure]:
        category = output["category"] if output else None
        return [
            holds("asked for", category in names, output, promise=True),
            Figure("accuracy", int(category == text.category), 1),
        ]

    return summed(answers, look)
