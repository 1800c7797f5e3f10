"""Which passages are nearest to a question, by the cosine of their embeddings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST = 6
"""Passages that an answer is made from, where nobody says how many."""


@dataclass(frozen=True, slots=True)
class Near:
    """The vector that stands at `place` of its batch, and its cosine to the question."""

    place: int
    score: float


def best(found: Iterable[Sequence[Near]], sizes: Sequence[int], most: int, least: float = -1.0) -> list[Near]:
    """Of all batches, in their order: `place` is among the vectors of all of them. Those below `least` are left out."""
    offsets = [sum(sizes[:number]) for number in range(len(sizes))]
    all_ = [
        Near(offset + each.place, each.score)
        for offset, batch in zip(offsets, found, strict=True)
        for each in batch
        if each.score >= least
    ]
    return sorted(all_, key=lambda each: (-each.score, each.place))[:most]
