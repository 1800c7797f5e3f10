"""From documents to a checked answer, by the functions that a pipeline's steps use; only the model's part is written down."""

import pytest

from agents.base import InvalidAnswer, InvalidInput
from agents.retrieval.functions import MOST_PASSAGES, cut_documents, in_batches, nearest_passages, table
from agents.retrieval.nearest import nearest
from agents.retrieval.passage import Passage
from schemas.documents import NewDocument
from tests.parts.pdf import pdf

pytestmark = pytest.mark.fast


def _vector(text: str) -> list[float]:
    """By words: revenue, risk, anything else."""
    words = text.lower()
    return [float("revenue" in words), float("risk" in words), 0.1]


async def test_an_answer_from_two_pdfs_names_document_and_page() -> None:
    steps = table()
    encoded = [
        _encoded("10k.pdf", "Annual report.", "Revenue was 4.2 billion."),
        _encoded("10q.pdf", "The risk is small."),
    ]
    documents = await steps["read_documents"](encoded)
    passages = steps["cut_documents"](documents, chunk_tokens=8, overlap_tokens=0)
    batches = steps["in_batches"](passages)
    vectors = [[_vector(text) for text in batch] for batch in batches]
    near = steps["nearest_passages"](passages, vectors, _vector("What was the revenue?"), most=2)
    assert steps["as_sources"](near)[0]["place"] == "10k.pdf, page 2"
    said = {
        "found": True,
        "answer": "4.2 billion [1][5].",
        "quotes": [{"source": 1, "text": "Revenue was 4.2 billion"}],
    }
    cited = steps["check_citations"](near, said)
    assert (cited.answer, cited.invented, [(s.document, s.page, s.quotes[0].page) for s in cited.sources]) == (
        "4.2 billion [1].",
        1,
        [("10k.pdf", 2, 2)],
    )


def _encoded(name: str, *pages: str) -> NewDocument:
    import base64

    return NewDocument(name=name, base64=base64.b64encode(pdf(pages)).decode())


def _passage(document: int, text: str) -> Passage:
    return Passage(str(document), document, 0, len(text), text)


def test_a_batch_is_of_one_document() -> None:
    passages = [_passage(0, "a"), _passage(0, "b"), _passage(0, "c"), _passage(1, "d")]
    assert in_batches(passages, 2) == [["a", "b"], ["c"], ["d"]]


async def test_documents_are_needed_and_not_too_many() -> None:
    with pytest.raises(InvalidInput, match="there is no document to read"):
        await table()["read_documents"]([])
    (long,) = await table()["read_documents"](["One word. " * (MOST_PASSAGES * 4)])
    with pytest.raises(InvalidInput, match="20,000 are the most"):
        cut_documents([long], chunk_tokens=8, overlap_tokens=0)
    with pytest.raises(InvalidInput, match="from 8 to 8192"):
        cut_documents([], chunk_tokens=1)


def test_the_nearest_come_first_whatever_their_length() -> None:
    vectors = [[0.0, 2.0], [1.0, 0.0], [5.0, 5.0], [0.0, 0.0], [2.0, 0.0]]
    assert nearest([3.0, 0.0], vectors, 3) == [(1, 1.0), (4, 1.0), (2, 0.707107)]
    assert nearest([3.0, 0.0], vectors, 9, least=0.5) == [(1, 1.0), (4, 1.0), (2, 0.707107)]
    assert nearest([1.0], [], 3) == []


def test_vectors_of_another_model_are_refused() -> None:
    with pytest.raises(InvalidAnswer, match="has 2 numbers and the question's 3"):
        nearest([1.0, 0.0, 0.0], [[1.0, 0.0]], 1)
    with pytest.raises(InvalidAnswer, match="1 embeddings of 2 passages"):
        nearest_passages([_passage(0, "a"), _passage(0, "b")], [[[1.0]]], [1.0])
