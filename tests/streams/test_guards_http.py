"""Guards by setting, from the door to the model and back."""

import asyncio
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from pydantic import ValidationError

from providers.calls import Delta
from providers.double.faults import Behaviour
from providers.fake_server import FakeServer
from store.errors import StoreError
from store.ledger.types.claims import Pool
from streams.judging import Judge
from tests.streams.talking import Talking, seat
from tests.streams.test_openai_streams import until
from tests.streams.webs import client, opened, web_settings

MAIL = "ann@example.org"
GUARDS = {"complete": ["email:mask"], "summarize": ["secrets:refuse"]}


async def test_verdicts_are_in_results_and_metrics(tmp_path: Path) -> None:
    """The double answers in the words that it read: with placeholders, which come back as what they stand for."""
    async with opened(web_settings(tmp_path, guards=GUARDS)) as (front, _), client(front) as api:
        masked = (await api.post("/v1/complete", json={"prompt": f"Write to {MAIL} about it."})).json()
        refused = await api.post("/v1/summarize", json={"content": "The key is sk-abcdEFGH12345678ijkl."})
        free = (await api.post("/v1/embed", json={"texts": ["sk-abcdEFGH12345678ijkl"]})).json()
        metrics = (await api.get("/metrics")).text
    assert MAIL in masked["output"]["content"]
    assert masked["warnings"] == ["guard `email`, before a call: found something, masked before the model read it"]
    error = refused.json()["error"]
    assert (refused.status_code, error["type"], error["details"]) == (
        422,
        "invalid_request",
        {"guard": "secrets", "when": "before"},
    )
    assert (free["status"], free["warnings"]) == ("succeeded", [])
    assert set(re.findall(r"^genai_guards_total\{(.*)\} 1\.0$", metrics, re.MULTILINE)) == {
        'done="mask",rule="email",when="before"',
        'done="refuse",rule="secrets",when="before"',
    }


@pytest.mark.parametrize(
    ("guards", "says"),
    [({"summarise": ["pii:mask"]}, "there is no operation summarise"), ({"*": ["pii:hide"]}, "what is to be done")],
)
def test_a_setting_that_is_wrong_ends_the_process_with_a_sentence(
    guards: dict[str, list[str]], says: str, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match=says):
        web_settings(tmp_path, guards=guards)


class Judging(Talking):
    """It finds violence where the word stands, and else only talks."""

    async def chat(self, call: Any, node: str) -> Any:
        answer = await super().chat(call, node)
        if call.schema is None:
            return answer
        found = [{"category": "violence", "confidence": 0.9}] if "violence will" in call.messages[-1].content else []
        return replace(answer, text=orjson.dumps({"found": found}).decode())


ROUTES = """
routes:
  safe: {targets: [fake/fake], guards: ["moderation:refuse:both"]}
  fast: {targets: [safe]}
  plain: fake/fake
"""


async def test_moderation_is_on_by_route(tmp_path: Path) -> None:
    """Also for what comes there by another route; an answer that was given without it serves nobody who asks with it."""
    (tmp_path / "routes.yaml").write_text(ROUTES)
    settings = web_settings(tmp_path, routes=str(tmp_path / "routes.yaml"), cache_ttl_s=60.0)
    async with opened(settings) as (front, spine), client(front) as api:
        double = seat(spine, Judging(pieces=(Delta("Fog."),)))

        async def asked(model: str, words: str, path: str = "/v1/complete") -> httpx.Response:
            return await api.post(path, json={"prompt": words, "options": {"model": model, "temperature": 0}})

        bad = "There violence will be."
        free, refused, through = [await asked(model, bad) for model in ("plain", "safe", "fast")]
        fine = (await asked("safe", "What is there?")).json()
        chat = {"model": "safe", "messages": [{"role": "user", "content": bad}], "max_tokens": 5}
        told = await api.post("/v1/chat/completions", json=chat)
        streamed = await api.post("/v1/chat/completions", json={**chat, "stream": True})
        metrics = (await api.get("/metrics")).text
    assert (free.json()["output"]["content"], fine["output"]["content"], fine["usage"]["calls"]) == ("Fog.", "Fog.", 3)
    for reply in (refused, through):
        error = reply.json()["error"]
        assert (reply.status_code, error["details"]) == (
            422,
            {"guard": "moderation", "when": "before", "categories": ["violence"]},
        )
    assert [(each.status_code, each.json()["error"]["type"]) for each in (told, streamed)] == [
        (400, "invalid_request_error")
    ] * 2
    judged = [call.max_tokens for call in double.calls if call.schema is not None]
    assert min(judged) > 5  # the request's own bound is for its answer
    assert 'genai_guards_total{done="refuse",rule="moderation",when="before"} 4.0' in metrics


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_another_model_judges_by_a_request_of_its_own(tmp_path: Path, elsewhere: bool) -> None:
    """So what only embeds can be judged too; a verdict that is not there lets nothing pass, and the judge's own model judges itself."""
    async with FakeServer(Behaviour(), slots=0, models=("fake:latest",)) as openai:
        await openai.listen("127.0.0.1", 0)
        settings = web_settings(
            tmp_path,
            guards={"*": ["moderation:refuse"]},
            openai_api_key="sk-fake",
            openai_base_url=f"{openai.url}/v1",
            moderation_model="openai/omni-moderation-latest",
            max_attempts=1,
        )
        async with opened(settings) as (front, spine), client(front) as api:
            if elsewhere:  # another process runs the judge's requests: this one hears of no end
                hears = [each for each in spine.engine.on_end if isinstance(getattr(each, "__self__", None), Judge)]
                spine.engine.on_end.remove(*hears)
            bad = await api.post("/v1/complete", json={"prompt": "violence at the ferry"})
            fine = (await api.post("/v1/complete", json={"prompt": "The ferry was late."})).json()
            embedded = await api.post("/v1/embed", json={"texts": ["fog", "hate"]})
            broken = await api.post("/v1/complete", json={"prompt": "[fake:refused]"})
            plain = (await api.post("/v1/moderate", json={"content": "violence"})).json()
            known = (await api.get("/v1/requests", params={"operation": "moderate"})).json()["items"]
    assert [(each.status_code, each.json()["error"]["details"]["categories"]) for each in (bad, embedded)] == [
        (422, ["violence"]),
        (422, ["hate"]),
    ]
    assert (fine["status"], fine["usage"]["calls"], plain["output"]["results"][0]["flagged"]) == ("succeeded", 1, True)
    assert broken.json()["error"]["type"] == "refused" and "has no verdict" in broken.json()["error"]["message"]
    assert sorted(each["request_id"].startswith("guard/") for each in known) == [False, True, True, True, True]
    assert {(each["provider"], each["lane"]) for each in known} == {("openai", "normal")}


async def test_a_model_that_may_be_the_judge_judges_in_its_own_slot(tmp_path: Path) -> None:
    """Else a request would hold the slot that its judge waits for."""
    settings = web_settings(
        tmp_path, guards={"complete": ["moderation:report:both"]}, moderation_model="fake/fake", fake_slots=1
    )
    async with opened(settings) as (front, _), client(front) as api:
        several = [api.post("/v1/complete", json={"prompt": f"Fog {n}."}) for n in range(4)]
        told = [reply.json() for reply in await asyncio.gather(*several)]
        known = (await api.get("/v1/requests", params={"operation": "moderate"})).json()["items"]
    assert [(each["status"], each["usage"]["calls"]) for each in told] == [("succeeded", 3)] * 4
    assert known == []


@dataclass
class Gone:
    """Instead of the engine, while the database is away."""

    asked: int = 0

    @property
    def pools(self) -> "Gone":
        return self

    async def ensure(self, pool: Pool) -> None:
        self.asked += 1
        raise StoreError(f"no slots for {pool}")


async def test_a_judge_that_cannot_be_asked_now_is_asked_again(tmp_path: Path) -> None:
    async with FakeServer(Behaviour(), slots=0, models=()) as openai:
        await openai.listen("127.0.0.1", 0)
        settings = web_settings(
            tmp_path,
            guards={"complete": ["moderation:refuse"]},
            openai_api_key="sk-fake",
            openai_base_url=f"{openai.url}/v1",
            moderation_model="openai/omni-moderation-latest",
        )
        async with opened(settings) as (front, spine), client(front) as api:
            (judge,) = (
                each.__self__ for each in spine.engine.on_end if isinstance(getattr(each, "__self__", None), Judge)
            )
            judge.engine = gone = Gone()
            asking = asyncio.create_task(api.post("/v1/complete", json={"prompt": "The ferry was late."}))
            await until(lambda: gone.asked > 0)
            judge.engine = spine.engine
            told = (await asking).json()
    assert (told["status"], gone.asked) == ("succeeded", 1)
