"""What judges count: shares of what was asked, and promises of the spine."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from streams.quality.texts import Text

Output = dict[str, Any] | None
"""In its operation's form. None: there is none, or not in that form."""

Answer = tuple[Text, Output]


@dataclass(frozen=True, slots=True)
class Figure:
    """`right` of `of`. A `promise` is one that the spine makes whatever the model: it is 100 %, or something is broken."""

    name: str
    right: int
    of: int
    promise: bool = False

    @property
    def share(self) -> float | None:
        """None: there was nothing to count."""
        return self.right / self.of if self.of else None

    @property
    def kept(self) -> bool:
        return not self.promise or self.right == self.of


@dataclass(frozen=True, slots=True)
class Judged:
    """What the labels say of the results. `wrong`: the texts that were not answered as labelled."""

    figures: Sequence[Figure]
    wrong: Sequence[str]
    f1: float | None = None


Judge = Callable[[Sequence[Answer]], Judged]
Look = Callable[[Text, Output], Sequence[Figure]]
"""At one answer: always the same figures in the same order, with `of` 0 where there is nothing to count."""


def holds(name: str, what: bool, output: Output, *, promise: bool = False) -> Figure:
    """Of one answer; what was not answered does not count."""
    answered = int(output is not None)
    return Figure(name, int(what) * answered, answered, promise)


def summed(answers: Sequence[Answer], look: Look) -> Judged:
    """Text by text. An answer is wrong when one of its figures is not full, or when it is not there."""
    looks = [look(text, output) for text, output in answers]
    wrong = [
        text.id
        for (text, output), figures in zip(answers, looks, strict=True)
        if output is None or any(figure.right < figure.of for figure in figures)
    ]
    return Judged([_sum(same) for same in zip(*looks, strict=True)], wrong)


def _sum(same: Iterable[Figure]) -> Figure:
    counted = list(same)
    return replace(counted[0], right=sum(each.right for each in counted), of=sum(each.of for each in counted))
