"""Which passages are nearest to a question: exactly, by the cosine of their embeddings, all of them at once."""

from collections.abc import Sequence

from agents.base import InvalidAnswer

MOST = 6
"""Passages that an answer is made from, where nobody says how many."""


def nearest(
    query: Sequence[float], vectors: Sequence[Sequence[float]], most: int = MOST, least: float = -1.0
) -> list[tuple[int, float]]:
    """Number and cosine of the nearest, best first, those below `least` left out; of equals the first comes first.

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
    return [(int(number), round(float(cosines[number]), 6)) for number in order if cosines[number] >= least]
