"""`rag_pipeline` over HTTP, over SQLite and the double: two PDFs, a question, an answer with its places."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from agents import OPERATIONS
from tests.parts.pdf import pdf
from tests.streams.webs import client, opened, web_settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANNUAL = (
    "Annual report of Fjord Ferries for 2025.",
    "Revenue of the company was 4.2 billion kroner in 2025, after 3.9 billion kroner in the year before, since more people "
    "took the ferry from Bergen to Stavanger and fares rose by two percent in March.",
    "The company employs 2,100 people on 31 ships, of which nine run on batteries alone.",
)
QUARTER = (
    "Third quarter: fuel became dearer, and two ships were docked for repairs in July and August.",
    "Risks: storms in autumn, and a strike of the harbour pilots that was announced for November.",
)
QUESTION = "What was the revenue of the company in 2025?"


def sent(name: str, pages: tuple[str, ...]) -> dict[str, str]:
    return {"name": name, "base64": base64.b64encode(pdf(pages)).decode()}


DOCUMENTS = [sent("10k_2025.pdf", ANNUAL), sent("10q_q3.pdf", QUARTER)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        opened(web_settings(tmp_path_factory.mktemp("data"))) as (front, _),
        client(front) as made,
    ):
        yield made


async def asked(api: httpx.AsyncClient, query: str, **params: Any) -> dict[str, Any]:
    given = {"query": query, "documents": DOCUMENTS, "chunk_tokens": 60, "overlap_tokens": 0, **params}
    body = {"kind": "pipeline", "name": "genai.rag_pipeline", "params": given}
    told: dict[str, Any] = (await api.post("/v1/runs?wait=20", json=body)).json()
    return told


async def calls(api: httpx.AsyncClient) -> int:
    return int((await api.get("/v1/costs")).json()["totals"]["calls"])


async def test_a_question_to_two_pdfs_is_answered_with_document_and_page(api: httpx.AsyncClient) -> None:
    run = await asked(api, QUESTION, steps=["embed", "retrieve", "generate"], most_sources=2)
    result = run["result"]
    assert (run["status"], result["found"], result["answer"] in ANNUAL[1]) == ("succeeded", True, True)
    first, second = result["sources"]
    assert (first["document"], first["page"], first["last_page"], second["page"]) == ("10k_2025.pdf", 1, 2, 3)
    assert first["text"].endswith(ANNUAL[1]) and first["end"] - first["start"] == len(first["text"])
    assert 1 > first["score"] > second["score"] > 0
    assert {step["name"]: (step["total"], step["status"]) for step in run["steps"] if step["use"] in OPERATIONS} == {
        "embed": (2, "succeeded"),
        "question": (1, "succeeded"),
        "generate": (1, "succeeded"),
    }


async def test_the_same_documents_are_not_embedded_again_for_another_question(api: httpx.AsyncClient) -> None:
    await asked(api, "Which risks are there in autumn?")
    before = await calls(api)
    run = await asked(api, "Was a strike of the harbour pilots announced for November?", most_sources=1)
    assert (run["result"]["sources"][0]["document"], await calls(api) - before) == ("10q_q3.pdf", 2)


async def test_what_is_near_to_nothing_is_not_in_the_documents_and_no_model_is_asked(api: httpx.AsyncClient) -> None:
    run = await asked(api, "Quantum chromodynamics?", least_score=0.9)
    status = {step["name"]: step["status"] for step in run["steps"]}["generate"]
    told = {name: run["result"][name] for name in ("answer", "found", "sources")}
    assert (run["status"], status) == ("succeeded", "skipped")
    assert told == {"answer": "The documents do not say.", "found": False, "sources": []}


async def test_without_generate_what_was_found_is_told_and_nobody_is_asked(api: httpx.AsyncClient) -> None:
    run = await asked(api, QUESTION, steps=["embed", "retrieve"], most_sources=3)
    result = run["result"]
    assert (result["answer"], result["found"], len(result["sources"])) == (None, None, 3)


async def test_text_markdown_and_html_have_offsets_and_headings_instead_of_pages(api: httpx.AsyncClient) -> None:
    given = [
        "The cook is called Solveig and bakes at six.",
        {"name": "crew.md", "content": "# Crew\n\nThe mate is called Birger.\n\n# Engine\n\nIt is old."},
        {"name": "a.html", "content": "<html><body><h1>Captain</h1><p>The captain is called Astrid.</p></body></html>"},
    ]
    run = await asked(api, "What is the captain called?", documents=given, steps=["embed", "retrieve"], chunk_tokens=8)
    found = {each["document"]: each for each in reversed(run["result"]["sources"])}
    assert {name: (each["heading"], each["page"]) for name, each in found.items()} == {
        "document 1": (None, None),
        "crew.md": ("Crew", None),
        "a.html": ("Captain", None),
    }


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"name": "a.pdf", "base64": base64.b64encode(pdf(["Secret."], password="x")).decode()}, "asks for a password"),
        ({"name": "a.pdf", "base64": base64.b64encode(b"%PDF-1.7 and no more").decode()}, "is a broken PDF"),
        ({"name": "a.pdf", "base64": base64.b64encode(pdf([""], squares=True)).decode()}, "run text recognition"),
        ("10k_2025.pdf", "no uploaded file '10k_2025.pdf'; upload it to /v1/files"),
        ({"name": "a.txt"}, "give either `content`, its text, or `base64`, its bytes"),
    ],
)
async def test_a_document_that_cannot_be_read_ends_the_run_in_one_sentence_and_costs_nothing(
    api: httpx.AsyncClient, document: Any, words: str
) -> None:
    before = await calls(api)
    run = await asked(api, QUESTION, documents=[document])
    error = run["result"]["error"]
    assert (run["status"], error["type"], error["step"], words in error["message"]) == (
        "failed",
        "invalid_request",
        "read",
        True,
    ), error
    assert await calls(api) == before


async def upload(api: httpx.AsyncClient, name: str, pages: tuple[str, ...], tenant: str = "default") -> dict[str, Any]:
    sent_ = {"data": {"purpose": "user_data"}, "files": {"file": (name, pdf(pages))}}
    told: dict[str, Any] = (await api.post("/v1/files", headers={"x-genai-tenant": tenant}, **sent_)).json()
    return told


async def test_uploaded_files_are_named_by_the_tenant_that_has_them(api: httpx.AsyncClient) -> None:
    old = await upload(api, "named.pdf", ("An older text.",))
    await upload(api, "named.pdf", ANNUAL)
    await upload(api, "theirs.pdf", QUARTER, tenant="other")
    run = await asked(api, QUESTION, documents=["named.pdf", old["id"]], steps=["embed", "retrieve"])
    texts = {each["document"] + each["text"] for each in run["result"]["sources"]}
    refused = await asked(api, QUESTION, documents=["theirs.pdf"])
    assert (old["purpose"], run["status"], "named.pdfAn older text." in texts) == ("user_data", "succeeded", True)
    assert any(ANNUAL[1] in each for each in texts)
    assert "no uploaded file 'theirs.pdf'" in refused["result"]["error"]["message"]


async def test_a_document_is_no_batch(api: httpx.AsyncClient) -> None:
    file = await upload(api, "long.pdf", ("x" * 80,) * 100)
    body = {"input_file_id": file["id"], "endpoint": "/v1/embeddings", "completion_window": "24h"}
    error = (await api.post("/v1/batches", json=body)).json()["error"]
    assert (error["param"], "uploaded with purpose=user_data" in error["message"]) == ("input_file_id", True)


async def test_steps_are_those_of_the_seed_or_without_an_answer(api: httpx.AsyncClient) -> None:
    body = {
        "kind": "pipeline",
        "name": "rag_pipeline",
        "params": {"query": "x", "documents": ["x"], "steps": ["embed"]},
    }
    reply = await api.post("/v1/runs", json=body)
    assert (reply.status_code, reply.json()["detail"]) == (
        422,
        '`params.steps` is ["embed"]; it may be ["embed", "retrieve", "generate"] or ["embed", "retrieve"].',
    )


async def test_a_chat_model_for_the_run_is_not_asked_for_vectors(api: httpx.AsyncClient) -> None:
    given = {"documents": ["Nobody has embedded that."], "embedding_model": "fake-embed", "embedding_provider": "fake"}
    run = await asked(api, QUESTION, model="fake", temperature=0.5, max_tokens=200, **given)
    items = (await api.get(f"/v1/runs/{run['run_id']}/items")).json()["items"]
    assert run["status"] == "succeeded", run["result"]
    models = {(item["step"], (await api.get(f"/v1/requests/{item['id']}")).json()["model"]) for item in items}
    assert models == {("embed", "fake-embed"), ("question", "fake-embed"), ("generate", "fake")}
