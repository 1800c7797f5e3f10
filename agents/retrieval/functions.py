"""The steps of a question to documents that call no model: plain functions from values to values, by name.

`table` makes them for one service, which says how much a document may take, and where uploaded ones are.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from agents.base import InvalidAnswer, InvalidInput
from agents.embed import BATCH
from agents.pipelines.functions import Function, Run
from agents.retrieval import citing, files, indexing, passage, reading
from agents.retrieval.chunking import OVERLAP, TARGET
from agents.retrieval.citing import Cited
from agents.retrieval.document import Document
from agents.retrieval.files import Files
from agents.retrieval.nearest import MOST, Near, best
from agents.retrieval.passage import Passage
from agents.retrieval.reading import BOUNDS, Bounds, Given
from schemas.documents import NewDocument

if TYPE_CHECKING:
    from store.database import Database

MOST_PASSAGES = 20_000
"""Of one question's documents: each of them is embedded."""


def table(
    bounds: Bounds = BOUNDS, uploaded: Files | None = None, database: "Database | None" = None
) -> Mapping[str, Function]:
    """By the names that steps use. `uploaded`: where documents are that are named and not sent; `database`: where embeddings are kept."""

    async def read_documents(documents: list[str | NewDocument], run: Run) -> list[Document]:
        """Text, Markdown, HTML or PDF as texts with their pages and headings. A string is a text, or an uploaded file's name."""
        if not documents:
            raise InvalidInput("there is no document to read; send at least one")
        given = []
        for number, one in enumerate(documents, 1):
            if isinstance(one, str) and files.is_name(one):
                given.append(await files.uploaded(uploaded, run.tenant, one, bounds.bytes))
            else:
                given.append(_given(one, number))
        return await reading.read(given, bounds)

    return {
        "read_documents": Function(read_documents),
        "cut_documents": Function(cut_documents),
        "in_batches": Function(in_batches, cheap=True),
        **indexing.table(database),
        "best_passages": Function(best_passages),
        "as_sources": Function(as_sources, inline=True, cheap=True),
        "check_citations": Function(check_citations),
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


def in_batches(passages: list[Passage]) -> list[list[str]]:
    """Their texts, as `embed` takes them; never two documents in one batch, so that what was embedded before is known again."""
    batches = []
    for _, of_one in groupby(passages, key=lambda each: each.number):
        texts = [each.text for each in of_one]
        batches += [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    return batches


def best_passages(
    passages: list[Passage], found: list[list[Near]], most: int = MOST, least_score: float = -1.0
) -> list[Passage]:
    """The nearest of all, best first, with their scores. `found`: of each batch, in their order."""
    sizes = [len(batch) for batch in in_batches(passages)]
    if len(found) != len(sizes):
        raise InvalidAnswer(f"there are {len(found)} batches of embeddings, and {len(sizes)} of passages")
    return [replace(passages[each.place], score=each.score) for each in best(found, sizes, max(1, most), least_score)]


def as_sources(passages: list[Passage]) -> list[dict[str, Any]]:
    """As the prompt `answer_from_sources` shows them: numbered, each text between its own delimiters."""
    return passage.sources(passages)


def check_citations(passages: list[Passage], answer: dict[str, Any] | str | None) -> Cited:
    """The answer with citations that are real, and the passages that it rests on. `answer` null: nobody was asked, so all that
    was found is told; where nothing was, the documents do not say it.
    """
    if answer is None and passages:
        return citing.unasked(passages)
    return citing.check(passages, answer or "")
