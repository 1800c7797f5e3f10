"""Which passages are nearest to a question: exactly, by the cosine of their embeddings.

They come in batches, each compared as it comes and forgotten: of twenty thousand vectors only the best are ever kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agents.base import InvalidAnswer

MOST = 6
"""Passages that an answer is made from, where nobody says how many."""


@dataclass(frozen=True, slots=True)
class Near:
    """The vector that stands at `place` of its batch, and its cosine to the question."""

    place: int
    score: float


def nearest(query: Sequence[float], vectors: Sequence[Sequence[float]], most: int = MOST) -> list[Near]:
    """Of one batch, best first; of equals the first comes first.

    Raises `InvalidAnswer` where a vector has another length than the question's: another model made it.
    """
    import numpy as np  # a tenth of a second, and 30 MB that a worker without questions does without

    if not vectors:
        return []
    odd = next((len(vector) for vector in vectors if len(vector) != len(query)), None)
    if odd is not None:
        raise InvalidAnswer(
            f"a passage's embedding has {odd} numbers and the question's {len(query)}; embed both with one model"
        )
    matrix, wanted = np.asarray(vectors, np.float32), np.asarray(query, np.float32)
    lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(wanted)
    cosines = np.divide(matrix @ wanted, lengths, out=np.zeros(len(matrix), np.float32), where=lengths > 0)
    order = np.argsort(-cosines, kind="stable")[:most]
    return [Near(int(place), round(float(cosines[place]), 6)) for place in order]


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
