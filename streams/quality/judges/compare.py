"""What two reports of one event tell differently is named, with both sides, and is not called common."""

from collections.abc import Sequence

from streams.quality.figures import Answer, Figure, Judged, Output, holds, summed
from streams.quality.texts import Difference, Text
from streams.quality.words import invents, says_one

_NUMBERS = "1, 2, 3"
"""By which texts and points are counted."""


def judge(answers: Sequence[Answer]) -> Judged:
    return summed(answers, _look)


def _look(text: Text, output: Output) -> list[Figure]:
    told = output or {"similarities": [], "differences": [], "verdict": "", "similarity": 0.0}
    named, labelled = "\n".join(told["differences"]), text.report.differs
    both = sum(says_one(named, each.here) and says_one(named, each.there) for each in labelled)
    common = any(_is_one_sided(point, each) for point in told["similarities"] for each in labelled)
    said = "\n".join([*told["similarities"], named, told["verdict"]])
    return [
        holds("from 0 to 1", 0 <= told["similarity"] <= 1, output, promise=True),
        Figure("differences", both, len(labelled)),
        holds("no false agreement", not common, output),
        holds("no invented figure", not invents(said, text.content, text.report.content, _NUMBERS), output),
    ]


def _is_one_sided(point: str, difference: Difference) -> bool:
    """What only one of the texts says is claimed of both. A point that has both sides tells them apart."""
    return says_one(point, difference.here) != says_one(point, difference.there)
