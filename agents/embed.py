"""embed: texts as vectors, in bounded batches."""

from collections.abc import Sequence

from agents.base import Caller, InvalidAnswer, Operation
from schemas.embed import Input, Output

BATCH = 64
"""Texts per call: what a provider's batch limit and one call's time-out can bear."""


async def vectors(texts: Sequence[str], caller: Caller, dimensions: int | None = None) -> list[tuple[float, ...]]:
    """One vector per text, in their order, all of one length."""
    found: list[tuple[float, ...]] = []
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        answer = await caller.embed(batch, dimensions=dimensions)
        if len(answer.vectors) != len(batch):
            raise InvalidAnswer(f"the model gave {len(answer.vectors)} vectors for {len(batch)} texts")
        found.extend(answer.vectors)
    lengths = sorted({len(vector) for vector in found})
    if len(lengths) != 1 or not lengths[0]:
        raise InvalidAnswer(f"the model gave vectors of the lengths {lengths}", lengths=lengths)
    return found


async def embed(asked: Input, caller: Caller) -> Output:
    """`content` alone is one text."""
    found = await vectors(asked.texts or [asked.content or ""], caller, asked.dimensions)
    return Output(embeddings=[list(vector) for vector in found], dimensions=len(found[0]))


def wants(asked: Input) -> tuple[str, ...]:
    """Shorter vectors, perhaps."""
    return () if asked.dimensions is None else ("dimensions",)


OPERATION = Operation("embed", Input, Output, embed, kind="embed", wants=wants)
