"""Whether a question lies nearer to the text that answers it than to any other one of those asked."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from streams.quality.figures import Answer, Figure, Judged

if TYPE_CHECKING:
    import numpy as np

    Vector = np.ndarray[tuple[int], np.dtype[np.float64]]

_FEW = 5


def judge(answers: Sequence[Answer]) -> Judged:
    """What was not embedded is found by no question."""
    import numpy as np

    given = {text.id: output["embeddings"] for text, output in answers if output is not None}
    units = sum(len(two) == 2 and all(_is_unit(vector) for vector in two) for two in given.values())
    vectors = {id_: (np.asarray(two[0]), np.asarray(two[-1])) for id_, two in given.items()}
    contents = {id_: content for id_, (_, content) in vectors.items()}
    ranks = {id_: _rank(question, id_, contents) for id_, (question, _) in vectors.items()}
    first = {id_ for id_, rank in ranks.items() if rank == 1}
    figures = [
        Figure("unit vectors", units, len(given), promise=True),
        Figure("first", len(first), len(answers)),
        Figure("among five", sum(rank <= _FEW for rank in ranks.values()), len(answers)),
    ]
    return Judged(figures, [text.id for text, _ in answers if text.id not in first])


def _is_unit(vector: Sequence[float]) -> bool:
    return math.isclose(math.hypot(*vector), 1.0, abs_tol=1e-3)


def _rank(question: "Vector", own: str, contents: "dict[str, Vector]") -> int:
    """From 1. A text that is as near as its own one counts as nearer, so that a model for which all are alike finds nothing."""
    score = _cosine(question, contents[own])
    return 1 + sum(_cosine(question, each) >= score for id_, each in contents.items() if id_ != own)


def _cosine(one: "Vector", other: "Vector") -> float:
    """Of unit vectors; those of different lengths are of different models."""
    return float(one @ other) if one.shape == other.shape else -1.0
