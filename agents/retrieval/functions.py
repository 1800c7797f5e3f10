"""The steps of a question to documents that call no model: plain functions from values to values, by name.

`table` makes them for one service, which says how much a document may take.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any

from agents.base import InvalidAnswer, InvalidInput
from agents.embed import BATCH
from agents.retrieval import citing, passage, reading
from agents.retrieval.chunking import OVERLAP, TARGET
from agents.retrieval.citing import Cited
from agents.retrieval.document import Document
from agents.retrieval.nearest import MOST, nearest
from agents.retrieval.passage import Passage
from agents.retrieval.reading import BOUNDS, Bounds, Given
from schemas.documents import NewDocument

MOST_PASSAGES = 20_000
"""Of one question's documents: each of them is embedded."""


def table(bounds: Bounds = BOUNDS) -> Mapping[str, Callable[..., Any]]:
    """Names to functions, as steps of a pipeline use them."""

    async def read_documents(documents: list[str | NewDocument]) -> list[Document]:
        """Text, Markdown, HTML or PDF as texts with their pages and headings. A string is a text."""
        if not documents:
            raise InvalidInput("there is no document to read; send at least one")
        return await reading.read([_given(one, number) for number, one in enumerate(documents, 1)], bounds)

    return {
        "read_documents": read_documents,
        "cut_documents": cut_documents,
        "in_batches": in_batches,
        "nearest_passages": nearest_passages,
        "as_sources": as_sources,
        "check_citations": check_citations,
    }


def _given(one: str | NewDocument, number: int) -> Given:
    if isinstance(one, str):
        return Given(f"document {number}", one)
    name = one.name or f"document {number}"
    if one.base64 is not None:
        return reading.from_base64(name, one.base64, one.media_type)
    return Given(name, one.content or "", one.media_type)


def cut_documents(
    documents: list[Document], chunk_tokens: int = TARGET, overlap_tokens: int = OVERLAP
) -> list[Passage]:
    """Whole sentences, about `chunk_tokens` in each passage, of which `overlap_tokens` stood in the one before."""
    if not 8 <= chunk_tokens <= 8192 or overlap_tokens < 0:
        raise InvalidInput("`chunk_tokens` is from 8 to 8192, and `overlap_tokens` not below 0")
    found = passage.passages(documents, chunk_tokens, overlap_tokens)
    if len(found) > MOST_PASSAGES:
        raise InvalidInput(
            f"the documents make {len(found):,} passages of about {chunk_tokens} tokens, {MOST_PASSAGES:,} are the most; "
            "send fewer documents, or raise `chunk_tokens`",
            passages=len(found),
        )
    return found


def in_batches(passages: list[Passage], size: int = BATCH) -> list[list[str]]:
    """Their texts, as `embed` takes them; never two documents in one batch, so that what was embedded before is known again."""
    batches = []
    for _, of_one in groupby(passages, key=lambda each: each.number):
        texts = [each.text for each in of_one]
        batches += [texts[start : start + size] for start in range(0, len(texts), size)]
    return batches


def nearest_passages(
    passages: list[Passage],
    embeddings: list[list[list[float]]],
    query: list[float],
    most: int = MOST,
    least_score: float = -1.0,
) -> list[Passage]:
    """The nearest to the question, best first, with their scores. `embeddings`: of each batch, in their order."""
    vectors = [vector for batch in embeddings for vector in batch]
    if len(vectors) != len(passages):
        raise InvalidAnswer(f"there are {len(vectors)} embeddings of {len(passages)} passages")
    return [
        replace(passages[number], score=score) for number, score in nearest(query, vectors, max(1, most), least_score)
    ]


def as_sources(passages: list[Passage]) -> list[dict[str, Any]]:
    """As the prompt `answer_from_sources` shows them: numbered, each text between its own delimiters."""
    return passage.sources(passages)


def check_citations(passages: list[Passage], answer: dict[str, Any] | str | None) -> Cited:
    """The answer with citations that are real, and the passages that it rests on."""
    return citing.check(passages, answer or "")
