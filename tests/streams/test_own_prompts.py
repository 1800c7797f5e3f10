"""The prompts by which operations ask: said in other words by an operator, pinned, taken back, tried before."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import select

from schemas.pin import pins
from schemas.request import Lane
from store.ledger.types.arrivals import Ask
from store.tables import executions
from streams.cli import app
from streams.spine import Spine
from streams.web.front import Front
from tests.streams.test_cancel_cli import invoke
from tests.streams.webs import client, opened, web_settings

ASK = {"content": "The ferry is late. Fares rise by 4%.", "max_sentences": 1}
USER = (
    "{{ content }}\nSay it in at most {{ max_sentences }} sentences.{% if style %} {{ style }}{% endif %}"
    "{% if focus %} {{ focus }}{% endif %}"
)
SUMMARIZE = "/v1/prompts/summarize"


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Front, Spine]]:
    async with opened(web_settings(tmp_path)) as made:
        yield made


@pytest.fixture
async def api(parts: tuple[Front, Spine]) -> AsyncIterator[httpx.AsyncClient]:
    async with client(parts[0]) as made:
        yield made


async def edited(api: httpx.AsyncClient, **change: Any) -> httpx.Response:
    return await api.put(SUMMARIZE, json={"template": USER, "notes": "Shorter."} | change)


async def moved(api: httpx.AsyncClient, version: int) -> None:
    reply = await api.put(f"{SUMMARIZE}/labels/production", json={"version": version, "why": "better"})
    assert reply.status_code == 200, reply.text


async def asked(api: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    return dict((await api.post("/v1/summarize", json=ASK | more)).json())


async def versions(spine: Spine, id_: str) -> set[tuple[str | None, int | None]]:
    """Prompt and version of each call of one request."""
    row = await spine.database.read(
        lambda conn: conn.execute(
            select(executions.c.prompt, executions.c.prompt_version).where(executions.c.operation == "summarize")
        ).all()
    )
    return {(prompt, version) for prompt, version in row}


async def test_an_edit_is_asked_by_once_production_stands_on_it_and_no_more_when_it_is_rolled_back(
    parts: tuple[Front, Spine], api: httpx.AsyncClient
) -> None:
    before = await asked(api)
    assert (await edited(api)).json()["version"] == 2
    unmoved = await asked(api)
    await moved(api, 2)
    after = await asked(api)
    rolled = await api.post(f"{SUMMARIZE}/rollback", json={"why": "worse"})
    back = await asked(api)
    assert [each["prompts"] for each in (before, unmoved, back)] == [[], [], []]
    assert after["prompts"] == [
        {"id": "library/summarize", "version": 2, "label": "production", "arm": None, "share": None}
    ]
    assert (rolled.json()["labels"], {each["status"] for each in (before, unmoved, after, back)}) == ({}, {"succeeded"})
    did = (await api.get(f"{SUMMARIZE}/executions")).json()["versions"]
    assert [(each["version"], each["calls"]) for each in did] == [(2, 1), (1, 3)]


async def test_what_waits_is_asked_in_the_words_of_its_acceptance_in_all_of_its_parts(
    parts: tuple[Front, Spine], api: httpx.AsyncClient
) -> None:
    spine = parts[1]
    await edited(api)
    await moved(api, 2)
    spine.engine.draining = True
    text = " ".join(f"Sentence {n} tells of a ferry that was late." for n in range(1500))
    taken = await api.post("/v1/summarize?wait=0", json={"content": text, "id": "long"})
    assert taken.status_code == 202
    await edited(api, system="Be kind.")
    await moved(api, 3)
    spine.engine.draining = False
    spine.writer.claim_soon()
    told = (await api.get(f"{taken.headers['location']}")).json()
    while told["status"] == "unfinished":
        await asyncio.sleep(0.02)
        told = (await api.get(taken.headers["location"])).json()
    assert (told["status"], told["prompts"][0]["version"], told["usage"]["calls"] > 2) == ("succeeded", 2, True)
    assert await versions(spine, "long") == {("summarize", 2)}


async def test_two_wordings_of_an_operation_are_held_against_each_other(tmp_path: Path, api: httpx.AsyncClient) -> None:
    await edited(api, template=f"{USER} [fake:gibberish*1]")
    stands = {"weights": {"1": 1, "2": 1}, "why": "compare"}
    (await api.put(f"{SUMMARIZE}/labels/production", json=stands)).raise_for_status()
    told = [await asked(api, id=f"r{n}") for n in range(24)]
    found = (await api.get(f"{SUMMARIZE}/labels/production/arms")).json()
    drawn = [each["prompts"][0]["version"] for each in told]
    assert [(arm["requests"], arm["schema_valid"]["share"]) for arm in found["arms"]] == [
        (drawn.count(1), 1.0),
        (drawn.count(2), 0.0),
    ]
    assert [each["more_than_noise"] for each in found["differences"] if each["what"] == "schema_valid"] == [True]
    printed = (await asyncio.to_thread(invoke, app, tmp_path, ["prompts", "arms", "summarize", "production"])).out
    assert f"version 2 (50 %): {drawn.count(2)} requests" in printed
    assert any("keeps to its schema at once" in line and "more than noise" in line for line in printed)


async def test_other_words_are_another_question_and_without_any_nothing_is_pinned(
    tmp_path: Path,
) -> None:
    async with opened(web_settings(tmp_path, cache_ttl_s=60.0)) as (front, spine), client(front) as api:

        def decoded() -> Ask:
            value = orjson.dumps({"id": "a", "input": ASK})
            found = spine.decoder.ask("summarize", Lane.NORMAL, value, (), place="a", tenant="default")
            assert isinstance(found, Ask)
            return found

        first = decoded()
        await edited(api)
        await moved(api, 2)
        second = decoded()
        assert (first.pinned, [pin.version for pin in pins(second.pinned)]) == (None, [2])
        assert first.fingerprint != second.fingerprint


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"template": "{{ content }} {{ tone }} {{ max_sentences }}"}, "uses 'tone', which `variables` does not declare"),
    ({"template": "{{ content }} in {{ max_sentences }}"}, "use 'style', 'focus' too"),
    ({"system": "Be {{ style"}, "`system`"),
    ({"template": USER + "{{ 1 / 0 }}"}, "divides by zero"),
    ({"template": USER + "{{ max_sentences / 0 }}"}, "divides by zero"),
    ({"output_schema": {"type": "object"}}, "`output_schema`: operations ask by the prompt 'summarize'"),
    ({"preferences": {"temperature": 1.0}}, "`preferences`: operations ask by the prompt 'summarize'"),
]


async def test_a_broken_edit_is_refused_when_it_is_made(api: httpx.AsyncClient) -> None:
    shown = (await api.get(SUMMARIZE)).json()["current"]["variables"]
    extra = [*shown, {"name": "tone", "type": "text", "default": "dry"}]
    plain = [each | ({"type": "text"} if each["name"] == "content" else {}) for each in shown]
    broken = [
        *BROKEN,
        ({"template": USER + "{{ tone }}", "variables": extra}, "nobody would fill in 'tone'"),
        ({"variables": plain}, "leave type, default and checks of 'content' as they came"),
    ]
    wrong = []
    for change, says in broken:
        reply = await edited(api, **change)
        if reply.status_code != 422 or says not in reply.json()["detail"]:
            wrong.append((change, reply.text))
    assert wrong == []
    assert (await api.get(SUMMARIZE)).json()["version"] == 1
    free = await api.put("/v1/prompts/headline", json={"template": "{{ content }}"})  # no operation asks by it
    assert free.json()["version"] == 2


async def test_a_candidate_is_tried_on_what_was_asked_before_its_label_moves(
    tmp_path: Path, parts: tuple[Front, Spine], api: httpx.AsyncClient
) -> None:
    for n in range(3):
        await asked(api, content=f"Ferry {n} is late.", id=f"r{n}")
    await edited(api, system="Be kind.", template=f"{USER} Kindly.")
    arguments = ["prompts", "try", "summarize", "--candidate", "2", "--budget", "1", "--yes", "--json", "--on"]
    found = await asyncio.to_thread(invoke, app, tmp_path, [*arguments, "last 2"])
    told = json.loads(found.out[-1])
    assert (found.code, told["plan"]["chosen"], told["report"]["sent"], told["report"]["left_out"]) == (0, 2, 2, 0)
    assert [each["id"] for each in told["diff"]["items"]] == ["r1", "r2"]
    assert all(each["replay"]["status"] == "succeeded" for each in told["diff"]["items"])
    assert await versions(parts[1], "") == {("summarize", 1), ("summarize", 2)}
    again = await asyncio.to_thread(invoke, app, tmp_path, [*arguments, "3"])
    assert json.loads(again.out[-1])["plan"]["chosen"] == 3  # what was tried is not tried again
    assert (await api.get(SUMMARIZE)).json()["labels"] == {}
