"""From documents to a checked answer, by the functions that a pipeline's steps use; only the model's part is written down."""

import pytest

from agents.base import InvalidAnswer, InvalidInput
from agents.embed import BATCH
from agents.pipelines.functions import Run
from agents.retrieval import functions
from agents.retrieval.functions import best_passages, cut_documents, in_batches, table
from agents.retrieval.nearest import Near, best
from agents.retrieval.passage import Passage
from agents.retrieval.reading import Given
from schemas.documents import NewDocument
from tests.parts.pdf import pdf

pytestmark = pytest.mark.fast
RUN = Run("default", "run_1")


async def test_an_answer_from_two_pdfs_names_document_and_page() -> None:
    steps = {name: each.run for name, each in table().items()}
    encoded = [
        _encoded("10k.pdf", "Annual report.", "Revenue was 4.2 billion."),
        _encoded("10q.pdf", "The risk is small."),
    ]
    documents = await steps["read_documents"](encoded, RUN)
    passages = steps["cut_documents"](documents, chunk_tokens=8, overlap_tokens=0)
    found = [[Near(place, "Revenue" in text) for place, text in enumerate(each)] for each in in_batches(passages)]
    near = steps["best_passages"](passages, found, most=2)
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


def test_where_nobody_is_asked_all_that_was_found_is_told() -> None:
    check = table()["check_citations"].run
    asked, none = check([_passage(0, "a"), _passage(1, "b")], None), check([], None)
    assert ((asked.answer, asked.found, len(asked.sources)), (none.answer, none.found)) == (
        (None, None, 2),
        ("The documents do not say.", False),
    )


class Uploaded:
    """Two tenants' files."""

    async def named(self, tenant: str, name: str, most_bytes: int) -> Given | None:
        return Given(name, f"{tenant} owns this."[:most_bytes]) if name == "report.txt" else None


async def test_a_file_is_named_and_a_text_is_a_text() -> None:
    read = table(uploaded=Uploaded())["read_documents"].run
    documents = await read(["report.txt", "It stands in report.txt, they say", "Line.\nend.pdf"], RUN)
    assert [each.text for each in documents] == [
        "default owns this.",
        "It stands in report.txt, they say",
        "Line.\nend.pdf",
    ]
    with pytest.raises(InvalidInput, match=r"no uploaded file '10k\.pdf'; upload it"):
        await read(["10k.pdf"], RUN)
    with pytest.raises(InvalidInput, match=r"no uploaded file 'report\.txt'"):
        await table()["read_documents"].run(["report.txt"], RUN)


def _encoded(name: str, *pages: str) -> NewDocument:
    import base64

    return NewDocument(name=name, base64=base64.b64encode(pdf(pages)).decode())


def _passage(document: int, text: str) -> Passage:
    return Passage(str(document), document, 0, len(text), text)


def test_a_batch_is_of_one_document() -> None:
    passages = [_passage(0, str(number)) for number in range(BATCH + 1)] + [_passage(1, "d")]
    assert [len(batch) for batch in in_batches(passages)] == [BATCH, 1, 1]


async def test_documents_are_needed_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "MOST_PASSAGES", 1_000)
    with pytest.raises(InvalidInput, match="there is no document to read"):
        await table()["read_documents"].run([], RUN)
    (long,) = await table()["read_documents"].run(["One word. " * 4_000], RUN)
    with pytest.raises(InvalidInput, match="1,000 are the most"):
        cut_documents([long], chunk_tokens=8, overlap_tokens=0)
    with pytest.raises(InvalidInput, match="from 8 to 8192"):
        cut_documents([], chunk_tokens=1)


def test_the_best_of_all_batches_are_told_by_their_place_among_all() -> None:
    found = [[Near(1, 0.5), Near(0, 0.1)], [Near(2, 0.9), Near(0, 0.5)]]
    assert best(found, [2, 3], 3) == [Near(4, 0.9), Near(1, 0.5), Near(2, 0.5)]
    assert best(found, [2, 3], 9, least=0.6) == [Near(4, 0.9)]


def test_what_was_found_is_of_these_passages() -> None:
    with pytest.raises(InvalidAnswer, match="0 batches of embeddings, and 1 of passages"):
        best_passages([_passage(0, "a"), _passage(0, "b")], [])
