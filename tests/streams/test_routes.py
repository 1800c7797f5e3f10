"""Routes over one process's parts: chosen at acceptance, gone on from, read again; the doubles are real servers over HTTP."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from agents import OPERATIONS
from providers import fake_server
from providers.base import Model, Shelf
from providers.double.faults import Behaviour
from schemas.request import Lane
from store.ledger.types.arrivals import Ask
from streams import named, naming
from streams.app import running
from streams.configured import make_decoder
from streams.errors import SpineError
from streams.library import load as load_library
from streams.providing import make_providers
from streams.settings import Settings
from tests.streams.talking import Talking, seat
from tests.streams.webs import client, opened, web_settings

NOBODY = "http://127.0.0.1:1"
ROUTES = """
routes:
  fast: {targets: [ollama/llama3.2], fallbacks: [fake/fake]}
  plain: fake/fake
  seen: {targets: [fake/fake], fallbacks: [local/smollm2-135m]}
  ab:
    sticky: key
    targets: [{model: fake/fake, arm: old}, {model: fake/fake-2, arm: new}]
"""


def written(folder: Path, text: str = ROUTES) -> Path:
    path = folder / "routes.yaml"
    path.write_text(text)
    return path


def using(folder: Path, text: str = ROUTES, **changes: Any) -> Settings:
    return web_settings(folder, **{"routes": str(written(folder, text)), "ollama_url": NOBODY, **changes})


def decoded(settings: Settings, operation: str = "complete", key: bytes | None = None, **fields: Any) -> Ask:
    decoder = make_decoder(settings, make_providers(settings), load_library(settings))
    value = orjson.dumps({"id": "a", "input": {"prompt": "Hi."}, **fields})
    found = decoder.ask(operation, Lane.NORMAL, value, [], place="p", tenant="t", key=key)
    assert isinstance(found, Ask)
    return found


async def asked(api: httpx.AsyncClient, text: str = "Hi.", **options: Any) -> dict[str, Any]:
    reply = await api.post("/v1/complete?wait=30", json={"prompt": text, "options": options})
    found: dict[str, Any] = reply.json()
    return found


# ---- chosen when it is accepted


STANDS_FOR = [
    ({"model": "plain"}, "fake", "fake"),
    ({"model": "fake/other"}, "fake", "other"),
    ({"model": "hf.co/a/b"}, "fake", "hf.co/a/b"),
    ({"model": "plain", "provider": "ollama"}, "ollama", "plain"),  # a provider's own name, whatever routes there are
    ({}, "fake", "fake"),
]


@pytest.mark.parametrize(("options", "provider", "model"), STANDS_FOR)
def test_what_a_models_name_stands_for(tmp_path: Path, options: dict[str, Any], provider: str, model: str) -> None:
    found = decoded(using(tmp_path), options=options)
    assert (found.failure, found.provider, found.model) == (None, provider, model)


def test_the_default_model_may_be_a_route(tmp_path: Path) -> None:
    found = decoded(using(tmp_path, default_model="fast"))
    assert (found.provider, found.paid, orjson.loads(found.route or "")["name"]) == ("ollama", False, "fast")


def test_the_same_key_draws_the_same_arm_and_the_name_is_what_is_compared(tmp_path: Path) -> None:
    settings = using(tmp_path)
    found = [decoded(settings, key=b"k%d" % (n % 8), id=str(n), options={"model": "ab"}) for n in range(32)]
    by_key = {n % 8: each.model for n, each in enumerate(found)}
    assert [each.model for each in found] == [by_key[n % 8] for n in range(32)]
    assert len({each.payload_hash for each in found}) == 1
    assert set(by_key.values()) == {"fake", "fake-2"}


def test_an_answer_is_shared_by_the_model_that_gives_it_and_not_by_the_name(tmp_path: Path) -> None:
    settings = using(tmp_path, cache_ttl_s=60.0)
    prints = [
        decoded(settings, options={"model": model, "temperature": 0.0}).fingerprint
        for model in ("plain", "fake/fake", "fake/other")
    ]
    assert prints[0] == prints[1] != prints[2]


TINY = "local/smollm2-135m"
CALLS = {"prompt": "Hi.", "tools": [{"type": "function", "function": {"name": "f"}}]}
WITH_TINY = f"{ROUTES}  tiny: {TINY}\n"
CANNOT: list[tuple[dict[str, Any], dict[str, Any], str, list[str], str]] = [
    (CALLS, {"model": "tiny"}, f"`{TINY}`: it cannot do `tools`", ["tools"], TINY),
    (CALLS, {"model": TINY}, "`smollm2-135m` cannot do `tools`", ["tools"], TINY),
    ({"prompt": "Hi."}, {"model": "fake/fake-embed"}, "`fake-embed` cannot do `chat`", ["chat"], "fake/fake-embed"),
]


@pytest.mark.parametrize(("input_", "options", "words", "fields", "model"), CANNOT)
def test_what_no_model_can_do_is_refused_before_it_is_queued(
    tmp_path: Path, input_: dict[str, Any], options: dict[str, Any], words: str, fields: list[str], model: str
) -> None:
    failure = decoded(using(tmp_path, WITH_TINY), input=input_, options=options).failure
    assert failure is not None
    assert (failure.type, failure.details["fields"], failure.details["models"]) == (
        "invalid_request",
        fields,
        [model],
    )
    assert words in failure.message


def test_a_provider_that_is_nearly_known(tmp_path: Path) -> None:
    failure = decoded(using(tmp_path), options={"provider": "olama", "model": "x"}).failure
    assert failure is not None and failure.message == "provider 'olama' is not known; did you mean 'ollama'?"


def test_every_operation_says_what_it_wants(tmp_path: Path) -> None:
    assert {name: bool(each.wants.__doc__) for name, each in OPERATIONS.items()} == {
        name: name != "execute_prompt" for name in OPERATIONS
    }


# ---- gone on from


async def test_who_is_away_is_stood_in_for_and_the_result_says_so(tmp_path: Path) -> None:
    async with opened(using(tmp_path)) as (front, spine), client(front) as api:
        found = await asked(api, model="fast")
        assert (found["status"], found["provider"], found["model"]) == ("succeeded", "fake", "fake")
        assert found["route"] == {
            "name": "fast",
            "arm": None,
            "target": "fake/fake",
            "fallbacks": [{"target": "ollama/llama3.2", "error": "unreachable", "waited": False}],
            "saved_usd": None,
            "hedged": None,
        }
        assert (found["warnings"], found["usage"]["calls"]) == ([], 1)
        told = (await api.get("/metrics")).text
        assert (
            'genai_route_fallbacks_total{error="unreachable",route="fast",source="ollama/llama3.2",target="fake/fake"} 1.0'
            in told
        )
        assert 'genai_route_requests_total{arm="",route="fast",status="succeeded",target="fake/fake"} 1.0' in told
        assert not any(shelf.busy for shelf in spine.engine.pools.shelves.values())


async def test_a_second_paid_call_is_told_with_what_the_first_was_booked_at(tmp_path: Path) -> None:
    routes = "routes:\n  paid: {targets: [fake/fake], fallbacks: [ollama/llama3.2]}\n"
    async with await fake_server.start(how=Behaviour()) as server:
        settings = using(tmp_path, routes, ollama_url=server.url)
        async with opened(settings) as (front, _), client(front) as api:
            found = await asked(api, "Hi. [fake:server_error*1]", model="paid")
            away = await asked(api, "Hi. [fake:server_error*1]", model="paid", on_ambiguous="fail")
    assert (found["status"], found["provider"], len(found["route"]["fallbacks"])) == ("succeeded", "ollama", 1)
    (warning,) = found["warnings"]
    booked = found["usage"]["cost_usd"]
    assert warning == (
        f"paid without an answer: `fake/fake` (overloaded) was booked at {booked} USD before `ollama/llama3.2` was asked"
    )
    assert float(found["usage"]["cost_usd"]) > 0
    assert (away["status"], away["error"]["type"], away["provider"]) == ("failed", "ambiguous", "fake")


async def test_a_bad_request_goes_nowhere_else(tmp_path: Path) -> None:
    async with opened(using(tmp_path)) as (front, _), client(front) as api:
        found = await asked(api, "[fake:rejected]", model="seen")
        assert (found["status"], found["error"]["type"], found["route"]["fallbacks"]) == (
            "failed",
            "invalid_request",
            [],
        )


async def test_a_model_that_is_not_there_is_told_with_near_names(tmp_path: Path) -> None:
    async with await fake_server.start(how=Behaviour()) as server:
        settings = using(tmp_path, ollama_url=server.url, default_provider="ollama")
        async with opened(settings) as (front, _), client(front) as api:
            found = await asked(api, "[fake:model_not_found]", model="plane")
    assert (found["error"]["type"], found["error"]["details"]["near"]) == ("model_not_found", ["plain"])
    assert found["error"]["message"].endswith("Did you mean `plain`?")


async def test_whose_door_is_shut_is_passed_over_when_it_is_chosen(tmp_path: Path) -> None:
    async with opened(using(tmp_path)) as (front, spine), client(front) as api:
        spine.decoder.router.unwell = lambda model, _: "shut" if model.provider == "ollama" else ""
        found = await asked(api, model="fast")
        assert (found["route"]["target"], found["route"]["fallbacks"]) == ("fake/fake", [])


async def test_a_queue_that_is_long_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "EVERY_S", 0.05)
    routes = "routes:\n  busy: {targets: [ollama/llama3.2], fallbacks: [fake/fake], max_waiting: 1}\n"
    async with await fake_server.start(how=Behaviour(latency_s=30.0)) as server:
        async with (
            opened(using(tmp_path, routes, ollama_url=server.url, drain_s=0.0)) as (front, _),
            client(front) as api,
        ):
            for _ in range(6):  # one is called, some are leased ahead, the others wait
                await api.post("/v1/complete?wait=0", json={"prompt": "Hi.", "options": {"model": "ollama/llama3.2"}})
            body = {"prompt": "Hi.", "options": {"model": "busy"}}
            async with asyncio.timeout(20):
                while (await api.post("/v1/routes/explain", json=body)).json()["taken"] != "fake/fake":
                    await asyncio.sleep(0.05)
            found = await asked(api, model="busy")
    assert (found["route"]["target"], found["route"]["fallbacks"]) == ("fake/fake", [])


async def test_another_process_takes_what_went_on_to_a_model_that_it_has_never_called(tmp_path: Path) -> None:
    """The slots of the new pool are there for everybody, and the first process's slot is free again."""
    routes = "routes:\n  two: {targets: [ollama/llama3.2], fallbacks: [fake/fake]}\n"
    async with await fake_server.start(how=Behaviour(latency_s=0.3)) as server:
        settings = using(tmp_path, routes, ollama_url=server.url, fake_paid=False, retry_base_s=0.01)
        async with opened(settings) as (front, one), client(front) as api, running(settings, bootstrap=None) as two:
            two.engine.draining = True
            body = {"id": "x", "prompt": "Hi. [fake:server_error*1]", "options": {"model": "two"}}
            await api.post("/v1/complete?wait=0", json=body)
            async with asyncio.timeout(20):
                while not server.counts.total.started:
                    await asyncio.sleep(0.01)
            one.engine.draining, two.engine.draining = True, False  # it ends what it has begun, and claims no more
            found = (await api.post("/v1/complete?wait=20", json=body)).json()
            assert ("fake", "fake") in two.engine.pools.shelves
            assert not one.engine.holds()[1]
    assert (found["status"], found["provider"]) == ("succeeded", "fake")
    assert [each["error"] for each in found["route"]["fallbacks"]] == ["overloaded"]


PATIENT = "routes:\n  cheap: {targets: [{model: ollama/llama3.2, wait_s: 0.2}], fallbacks: [fake/fake]}\n"


async def test_who_has_waited_long_enough_for_a_free_model_goes_to_the_next_one(tmp_path: Path) -> None:
    async with await fake_server.start(how=Behaviour(latency_s=30.0)) as server:
        async with (
            opened(using(tmp_path, PATIENT, ollama_url=server.url, drain_s=0.0)) as (front, _),
            client(front) as api,
        ):
            for n in range(3):  # one is called, one is leased ahead, one waits
                body = {"prompt": "Hi.", "options": {"model": "ollama/llama3.2"}, "id": str(n)}
                await api.post("/v1/complete?wait=0", json=body)
            found = await asked(api, model="cheap")
            told = (await api.post("/v1/routes/explain", json={"prompt": "a", "options": {"model": "cheap"}})).json()
    assert (found["status"], found["provider"], found["warnings"]) == ("succeeded", "fake", [])
    assert found["route"]["fallbacks"] == [{"target": "ollama/llama3.2", "error": "overloaded", "waited": True}]
    assert [each["wait_s"] for each in told["targets"]] == [0.2, None]


async def test_what_was_saved_by_waiting_is_on_the_result(tmp_path: Path) -> None:
    """3 words in at 0.15 and 2 or so out at 0.60 dollars a million, less nothing."""
    async with await fake_server.start(how=Behaviour(latency_s=0.01)) as server:
        async with (
            opened(using(tmp_path, PATIENT.replace("0.2", "60"), ollama_url=server.url)) as (front, _),
            client(front) as api,
        ):
            found = await asked(api, "One two three.", model="cheap")
            told = (await api.get("/metrics")).text
            books = (await api.get("/v1/costs")).json()["savings"]
    used = found["usage"]
    expected = used["input_tokens"] * 150 + used["output_tokens"] * 600
    assert (found["provider"], used["cost_usd"]) == ("ollama", "0.000000")
    assert round(float(found["route"]["saved_usd"]) * 1e9) == expected > 0
    saved = found["route"]["saved_usd"]
    assert books == {"routes": [{"route": "cheap", "requests": 1, "saved_usd": saved}], "tiers": [], "saved_usd": saved}
    (line,) = [line for line in told.splitlines() if line.startswith("genai_route_saved_usd_total{")]
    assert float(line.split()[1]) == pytest.approx(expected / 1e9)


# ---- the file changes


async def test_a_file_that_changes_is_read_again_and_a_broken_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named, "EVERY_S", 0.02)

    async def until(api: httpx.AsyncClient, what: Any) -> None:
        async with asyncio.timeout(20):
            while not what((await api.get("/ready")).json()["parts"]["routes"]):
                await asyncio.sleep(0.02)

    async with opened(using(tmp_path)) as (front, spine), client(front) as api:
        written(tmp_path, "routes:\n  later: {targets: [fake/fake], sticky: nothing}\n")
        await until(api, lambda part: "routes.yaml:2:33" in part["why"] and not part["ok"] and not part["needed"])
        assert "genai_route_file_ok 0.0" in (await api.get("/metrics")).text
        assert (await asked(api, model="plain"))["route"]["name"] == "plain"  # the old ones go on
        written(tmp_path, "routes:\n  later: fake/fake\n")
        await until(api, lambda part: part["ok"])
        assert list(spine.decoder.router.table.routes) == ["later"]
        assert (await asked(api, model="later"))["route"]["target"] == "fake/fake"
        (tmp_path / "routes.yaml").unlink()
        await until(api, lambda part: "cannot be read" in part["why"])
        assert (await asked(api, model="later"))["status"] == "succeeded"


async def test_what_waits_keeps_the_targets_of_its_acceptance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "EVERY_S", 0.02)
    async with opened(using(tmp_path, retry_base_s=0.5)) as (front, spine), client(front) as api:
        spine.engine.draining = True  # nothing is claimed for a moment
        await api.post("/v1/complete?wait=0", json={"id": "x", "prompt": "Hi.", "options": {"model": "fast"}})
        spine.decoder.router.table = type(spine.decoder.router.table)()
        spine.engine.draining = False
        spine.engine.look()
        found = (
            await api.post("/v1/complete?wait=20", json={"id": "x", "prompt": "Hi.", "options": {"model": "fast"}})
        ).json()
    assert (found["status"], found["route"]["target"]) == ("succeeded", "fake/fake")


def test_a_start_with_a_broken_file_is_refused_and_names_the_place(tmp_path: Path) -> None:
    with pytest.raises(SpineError, match=r"routes\.yaml:2:3: `nobody/x`: there is no provider"):
        naming.load(using(tmp_path, "routes:\n  a: nobody/x\n"), ("fake",))
    with pytest.raises(SpineError, match="cannot be read"):
        naming.load(web_settings(tmp_path, routes=str(tmp_path / "none.yaml")), ("fake",))


# ---- explained


async def test_explained_as_it_would_be_decided_and_nothing_is_kept(tmp_path: Path) -> None:
    async with opened(using(tmp_path)) as (front, spine), client(front) as api:
        spine.decoder.router.unwell = lambda model, _: "shut" if model.provider == "ollama" else ""
        body = {"operation": "complete", "prompt": "Hi.", "options": {"model": "fast", "max_tokens": 10}}
        found = (await api.post("/v1/routes/explain", json=body)).json()
        assert (found["route"], found["taken"], found["error"]) == ("fast", "fake/fake", None)
        second, first = found["targets"]
        assert (first["target"], first["taken"], first["why"]) == ("fake/fake", True, "")
        assert second["why"] == "shut; it is number 1 of those asked next"
        assert first["estimate"] == {"input_tokens": 1, "output_tokens": 10, "cost_usd": "0.000006150"}
        assert (await api.get("/v1/requests")).json()["items"] == []
        assert spine.engine.pools.shelves == {}
        assert "genai_route_skipped_total{" not in (await api.get("/metrics")).text


EXPLAINED: list[tuple[dict[str, Any], str | None, str | None]] = [
    ({"prompt": "Hi."}, "fake/fake", None),
    ({"prompt": "Hi.", "options": {"model": "ollama/x"}}, "ollama/x", None),
    ({**CALLS, "options": {"model": "tiny"}}, None, "cannot do `tools`"),
    ({**CALLS, "options": {"model": TINY}}, None, "`smollm2-135m` cannot do `tools`"),
    ({"prompt": "Hi.", "options": {"provider": "x"}}, None, "provider 'x' is not known"),
    ({"prompt": "Hi.", "options": {"model": "fakee"}}, None, "fake has no model `fakee`"),
    ({"prompt": "Hi.", "options": {"model": "plane"}}, None, "Did you mean `plain`?"),
    ({"prompt": "Hi.", "options": {"model": "local/smollm"}}, None, "Did you mean `smollm2-135m`?"),
    ({"prompt": 5}, None, "`input.prompt`"),
    ({"prompt": "Hi.", "options": []}, None, "`options`"),
    (
        {"operation": "embed", "texts": ["a"], "dimensions": 3, "options": {"model": "local/all-minilm-l6-v2"}},
        None,
        "cannot do `dimensions`",
    ),
]


async def test_what_would_be_refused_is_explained_too(tmp_path: Path) -> None:
    async with opened(using(tmp_path, WITH_TINY)) as (front, _), client(front) as api:
        for body, taken, words in EXPLAINED:
            found = (await api.post("/v1/routes/explain", json=body)).json()
            assert (found["taken"], found["error"] is None) == (taken, words is None), body
            assert (words or "") in (found["error"] or {"message": ""})["message"]


@pytest.mark.parametrize("path", ["/v1/complete", "/v1/chat/completions"])
async def test_a_model_that_is_not_there_is_explained_as_the_door_answers(tmp_path: Path, path: str) -> None:
    async with opened(using(tmp_path)) as (front, _), client(front) as api:
        body = {"prompt": "Hi.", "options": {"model": "fakee"}}
        chat = {"model": "fakee", "messages": [{"role": "user", "content": "Hi."}]}
        found = (await api.post("/v1/routes/explain", json=body)).json()
        real = await api.post(path, json=chat if "chat" in path else body)
    (target,) = found["targets"]
    assert (real.status_code, found["taken"], target["taken"]) == (404, None, False)
    assert (found["error"]["type"], target["why"]) == ("model_not_found", found["error"]["message"])
    assert "Did you mean `fake`" in found["error"]["message"] and "Did you mean fake" in real.text


class Aliased(Talking):
    """Knows more names than it lists."""

    async def shelf(self) -> Shelf:
        return Shelf((Model("fake-20260101"),))


async def test_a_model_that_is_only_not_listed_may_be_there(tmp_path: Path) -> None:
    async with opened(using(tmp_path)) as (front, spine), client(front) as api:
        seat(spine, Aliased())
        found = (await api.post("/v1/routes/explain", json={"prompt": "Hi.", "options": {"model": "fake"}})).json()
    assert (found["taken"], found["error"]) == ("fake/fake", None)
    assert found["targets"][0]["why"].startswith("not listed, so only its call tells")


async def test_a_question_that_is_none(tmp_path: Path) -> None:
    async with opened(using(tmp_path)) as (front, _), client(front) as api:
        statuses = [
            (await api.post(path, json=body)).status_code
            for path, body in (
                ("/v1/routes/explain", {"operation": "nope"}),
                ("/v1/routes/explain", {"operation": 5}),
                ("/v1/routes/explain", []),
                ("/v1/routes/explain", {"key": 5, "prompt": "a"}),
                ("/v1/routes/explain?lane=slow", {"prompt": "a"}),
            )
        ]
        assert statuses == [404, 404, 422, 422, 422]
        names = [each["name"] for each in (await api.get("/v1/routes")).json()["routes"]]
        assert names == ["fast", "plain", "seen", "ab"]
