"""Files and batches in OpenAI's words, over SQLite and the double."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, func, select

from store.tables import outbox
from streams.spine import Spine
from streams.web.front import Front
from streams.web.openai import files as door
from streams.web.openai import lines
from tests.streams.webs import client, opened, web_settings

CHAT = "/v1/chat/completions"


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Front, Spine]]:
    async with opened(web_settings(tmp_path, request_max_bytes=8192, file_max_bytes=1024 * 1024)) as made:
        yield made


@pytest.fixture
async def api(parts: tuple[Front, Spine]) -> AsyncIterator[httpx.AsyncClient]:
    async with client(parts[0]) as made:
        yield made


def asked(number: int, words: str = "Hello.", url: str = CHAT, **body: Any) -> str:
    made: dict[str, Any] = {"model": "fake-embed" if "embed" in url else "fake"}
    if url == CHAT:
        made["messages"] = [{"role": "user", "content": words}]
    return json.dumps({"custom_id": f"n{number}", "method": "POST", "url": url, "body": made | body})


async def uploaded(api: httpx.AsyncClient, text: str, purpose: str = "batch") -> httpx.Response:
    return await api.post("/v1/files", data={"purpose": purpose}, files={"file": ("in.jsonl", text.encode())})


async def made(api: httpx.AsyncClient, text: str, endpoint: str = CHAT) -> dict[str, Any]:
    file = (await uploaded(api, text)).json()
    body = {"input_file_id": file["id"], "endpoint": endpoint, "completion_window": "24h", "metadata": {"of": "me"}}
    reply = await api.post("/v1/batches", json=body)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


async def ended(api: httpx.AsyncClient, id_: str) -> dict[str, Any]:
    assert (await api.get(f"/v1/runs/{id_}?wait=30")).json()["ended_at"] is not None
    return dict((await api.get(f"/v1/batches/{id_}")).json())


async def content(api: httpx.AsyncClient, id_: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (await api.get(f"/v1/files/{id_}/content")).text.splitlines()]


async def test_a_file_comes_back_as_it_was_and_goes_when_it_is_deleted(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_PART", 64)
    text = "\n".join(asked(n) for n in range(30)) + "\n"
    file = (await uploaded(api, text)).json()
    assert (file["object"], file["bytes"], file["filename"], file["purpose"]) == (
        "file",
        len(text),
        "in.jsonl",
        "batch",
    )
    assert (await api.get(f"/v1/files/{file['id']}/content")).text == text
    assert [each["id"] for each in (await api.get("/v1/files")).json()["data"]] == [file["id"]]
    assert (await api.delete(f"/v1/files/{file['id']}")).json()["deleted"]
    lost = await api.get(f"/v1/files/{file['id']}")
    assert (lost.status_code, lost.json()["error"]["code"]) == (404, "not_found")
    assert (await api.get("/v1/files")).json()["data"] == []


async def test_a_batch_answers_every_line_and_tells_errors_apart(api: httpx.AsyncClient) -> None:
    told = [asked(n) for n in range(8)]
    told[2] = asked(2, temperature=9)
    told[3] = asked(3, "x [fake:rejected]")
    told[4] = asked(4, stream=True)
    batch = await made(api, "\n".join(told))
    done = await ended(api, batch["id"])
    good, bad = await content(api, done["output_file_id"]), await content(api, done["error_file_id"])
    assert (batch["object"], batch["endpoint"], batch["metadata"]) == ("batch", CHAT, {"of": "me"})
    assert (done["status"], done["request_counts"]) == ("completed", {"total": 8, "completed": 5, "failed": 3})
    assert [line["custom_id"] for line in good] == ["n0", "n1", "n5", "n6", "n7"]
    assert {line["response"]["status_code"] for line in good} == {200}
    assert {line["response"]["body"]["object"] for line in good} == {"chat.completion"}
    assert all(line["response"]["body"]["choices"][0]["message"]["content"] for line in good)
    assert [(line["custom_id"], line["response"]["status_code"]) for line in bad] == [
        ("n2", 400),
        ("n3", 400),
        ("n4", 400),
    ]
    assert "temperature" in bad[0]["response"]["body"]["error"]["message"]
    kept = (await api.get(f"/v1/files/{done['output_file_id']}")).json()
    assert (kept["purpose"], kept["bytes"] > 0) == ("batch_output", True)
    await api.delete(f"/v1/files/{done['output_file_id']}")
    assert (await api.get(f"/v1/files/{done['output_file_id']}/content")).status_code == 404


@pytest.mark.parametrize(
    ("url", "body", "expected"),
    [
        ("/v1/embeddings", {"input": ["a", "b"]}, "list"),
        ("/v1/embeddings", {"input": "a", "encoding_format": "base64"}, "list"),
        ("/v1/completions", {"prompt": "Once"}, "text_completion"),
    ],
)
async def test_other_endpoints(api: httpx.AsyncClient, url: str, body: dict[str, Any], expected: str) -> None:
    done = await ended(api, (await made(api, asked(0, url=url, **body), url))["id"])
    (line,) = await content(api, done["output_file_id"])
    assert line["response"]["body"]["object"] == expected
    if "encoding_format" in body:
        assert isinstance(line["response"]["body"]["data"][0]["embedding"], str)


async def test_a_cancelled_batch_keeps_what_it_has_and_names_the_rest(api: httpx.AsyncClient) -> None:
    batch = await made(api, "\n".join(asked(n, f"{n} [fake:sleep:0.3]") for n in range(700)))
    assert (await api.post(f"/v1/batches/{batch['id']}/cancel")).json()["status"] in {"cancelling", "cancelled"}
    done = await ended(api, batch["id"])
    bad = await content(api, done["error_file_id"])
    again = await api.post(f"/v1/batches/{batch['id']}/cancel")
    assert (done["status"], again.status_code) == ("cancelled", 400)
    assert sum(done["request_counts"][name] for name in ("completed", "failed")) == 700
    assert {line["error"]["code"] for line in bad} == {"batch_cancelled"}
    assert len({line["custom_id"] for line in bad}) == done["request_counts"]["failed"]


def _published(conn: Connection) -> dict[str, int]:
    asked = select(outbox.c.topic, func.count()).group_by(outbox.c.topic)
    return {topic: count for topic, count in conn.execute(asked)}  # noqa: C416 - rows are no pairs to mypy


async def test_answers_go_to_nobody_but_who_made_the_batch_also_when_it_is_retried(
    parts: tuple[Front, Spine], api: httpx.AsyncClient
) -> None:
    batch = await made(api, "\n".join([asked(0), asked(1, "x [fake:rejected*1]"), asked(2, temperature=9)]))
    before = await ended(api, batch["id"])
    retried = await api.post(f"/v1/runs/{batch['id']}/retry")
    after = await ended(api, batch["id"])
    published = await parts[1].database.read(_published)
    assert [each["request_counts"]["completed"] for each in (before, after)] == [1, 2]
    assert (retried.json()["retried"], "genai.results" in published, "genai.runs" in published) == (1, False, True)


async def test_batches_are_listed_newest_first(api: httpx.AsyncClient) -> None:
    ids = [(await made(api, asked(0)))["id"] for _ in range(3)]
    first = (await api.get("/v1/batches?limit=2")).json()
    second = (await api.get(f"/v1/batches?limit=2&after={first['last_id']}")).json()
    assert [each["id"] for each in first["data"] + second["data"]] == ids[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)


WRONG = [
    ("{", "invalid_json_line", 1),
    ("[]", "invalid_json_line", 1),
    ("\n" + "x" * 9000, "line_too_long", 2),
    ("[" * 300 + "]" * 300, "line_too_deep", 1),
    ('{"custom_id": "n1", "method": "POST", "url": "/v1/chat/completions"}', "invalid_body", 1),
    (asked(1).replace("POST", "GET"), "invalid_method", 1),
    (asked(1).replace("/v1/chat/completions", "/v1/embeddings"), "mismatched_endpoint", 1),
    (asked(1).replace('"n1"', "7"), "invalid_custom_id", 1),
    ("\n \n", "empty_file", None),
]


@pytest.mark.parametrize(("text", "code", "line"), WRONG)
async def test_a_file_of_which_no_line_is_good_fails_the_batch_and_nothing_runs(
    api: httpx.AsyncClient, text: str, code: str, line: int | None
) -> None:
    batch = await made(api, text)
    assert (batch["status"], batch["failed_at"] is not None) == ("failed", True)
    assert [(each["code"], each["line"]) for each in batch["errors"]["data"]] == [(code, line)]
    assert (await api.get("/v1/requests")).json()["items"] == []


async def test_a_broken_line_fails_with_its_number_and_the_others_run(api: httpx.AsyncClient) -> None:
    told = [asked(n) for n in range(1, 1001)]
    told[730] = told[730][:-1]
    done = await ended(api, (await made(api, "\n".join(told)))["id"])
    (bad,) = await content(api, done["error_file_id"])
    good = await content(api, done["output_file_id"])
    assert (done["status"], done["errors"]) == ("completed", None)
    assert done["request_counts"] == {"total": 1000, "completed": 999, "failed": 1}
    assert bad == {
        "id": "batch_req_730",
        "custom_id": None,
        "response": None,
        "error": {"code": "invalid_json_line", "line": 731, "message": bad["error"]["message"]},
    }
    assert bad["error"]["message"].startswith("Line 731 is not JSON")
    assert [line["custom_id"] for line in good] == [f"n{n}" for n in range(1, 1001) if n != 731]


BROKEN = [
    ("[]", None, "invalid_json_line", " is no JSON object."),
    ("x" * 9000, None, "line_too_long", " has more than 8192 bytes;"),
    (asked(5, deep=json.loads("[" * 300 + "]" * 300)), "n5", "line_too_deep", " is nested too deeply;"),
    (asked(6).replace('"n6"', "6"), None, "invalid_custom_id", ": `custom_id` must be"),
    (asked(7).replace("custom_id", "id"), None, "invalid_custom_id", ": `custom_id` must be"),
    (asked(1), "n1", "duplicate_custom_id", ": the custom_id 'n1' stands on another line"),
    (asked(9).replace("POST", "GET"), "n9", "invalid_method", ": `method` must be POST."),
    (asked(10, url="/v1/embeddings"), "n10", "mismatched_endpoint", ": `url` must be /v1/chat/completions"),
    (asked(11).replace('"body": {', '"body": 1, "x": {'), "n11", "invalid_body", ": `body` must be an object."),
]


async def test_each_line_that_is_no_request_fails_alone(api: httpx.AsyncClient) -> None:
    told = "\n".join([asked(1), "", *(line for line, *_ in BROKEN), asked(12)])
    done = await ended(api, (await made(api, told))["id"])
    bad, good = await content(api, done["error_file_id"]), await content(api, done["output_file_id"])
    assert [(each["custom_id"], each["error"]["code"], each["error"]["line"]) for each in bad] == [
        (custom_id, code, number) for number, (_, custom_id, code, _) in enumerate(BROKEN, 3)
    ]
    for number, (each, (*_, words)) in enumerate(zip(bad, BROKEN, strict=True), 3):
        assert each["error"]["message"].startswith(f"Line {number}{words}")
    assert [each["custom_id"] for each in good] == ["n1", "n12"]


async def test_what_is_wrong_with_a_body_is_told_with_the_number_of_its_line(api: httpx.AsyncClient) -> None:
    done = await ended(api, (await made(api, f"{asked(1)}\n\n{asked(3, stream=True)}"))["id"])
    (bad,) = await content(api, done["error_file_id"])
    assert (bad["custom_id"], bad["response"]["status_code"], bad["error"]) == ("n3", 400, None)
    assert bad["response"]["body"]["error"]["message"].startswith("Line 3: `stream` does not go with a batch")


async def test_bad_uploads_and_orders_are_told_in_openais_shape(api: httpx.AsyncClient) -> None:
    file = (await uploaded(api, asked(1))).json()["id"]
    order = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
    found = [
        await uploaded(api, asked(1), "fine-tune"),
        await uploaded(api, ""),
        await uploaded(api, "x\n" * 600_000),
        await api.post("/v1/files", data={"purpose": "batch"}),
        await api.post("/v1/files", content="x", headers={"content-type": "multipart/form-data; boundary=x"}),
        await api.post("/v1/batches", json=order | {"endpoint": "/v1/messages"}),
        await api.post("/v1/batches", json=order | {"completion_window": "1h"}),
        await api.post("/v1/batches", json=order | {"input_file_id": "file-none"}),
        await api.post("/v1/batches", json=order | {"metadata": {"a": 1}}),
        await api.get("/v1/batches/none"),
        await api.get("/v1/files/file-batch_0-output"),
    ]
    statuses = [(reply.status_code, reply.json()["error"]["param"]) for reply in found]
    assert statuses == [
        (400, "purpose"),
        (400, "file"),
        (413, "file"),
        (400, "file"),
        (400, "file"),
        (400, "endpoint"),
        (400, "completion_window"),
        (404, "id"),
        (400, "metadata"),
        (404, "id"),
        (404, "id"),
    ]
    assert [each["id"] for each in (await api.get("/v1/files")).json()["data"]] == [file]


def test_a_file_has_at_most_fifty_thousand_lines() -> None:
    checks = lines.Checks(CHAT, 8192)
    checks.count = lines.MOST_LINES
    checks.read(lines.MOST_LINES + 1, asked(1).encode())
    assert [error["code"] for error in checks.end()] == ["too_many_requests"]
