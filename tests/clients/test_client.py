"""The client against a real spine, with `await`: operations, prompts, runs, requests, books."""

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest

from agents import OPERATIONS
from genai_spine_client import AsyncGenAIClient, GenAIClient, errors
from genai_spine_client.calls import Asking
from genai_spine_client.schemas.answers import Standing
from genai_spine_client.schemas.result import Result
from schemas.request import Options, Request
from streams.spine import Spine
from streams.web import server
from streams.web.app import make_api
from streams.web.front import Front
from tests.streams.webs import opened, web_settings

TEXT = "The ferry Aurora was late on Friday. Fog lay over Bergen."


def calls(parts: tuple[Front, Spine]) -> int:
    return int(parts[1].providers["fake"].counts.total.started)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [AsyncGenAIClient, GenAIClient])
def test_every_operation_takes_every_field_of_its_input(kind: Any) -> None:
    for name, operation in OPERATIONS.items():
        there = set(inspect.signature(getattr(kind, name)).parameters)
        wanted = {field.alias or name for name, field in operation.input.model_fields.items()}
        assert wanted - {"keep"} <= there, name  # that is of /v1/messages


def test_every_operation_takes_every_option_and_the_envelope() -> None:
    told = set(Options.model_fields) | (
        set(Request.model_fields) - {"input", "options", "response", "body_digest"}
    )  # the last ones are of OpenAI's doors
    assert set(Asking.__annotations__) == told | {"lane", "timeout", "more"}


async def test_each_operation_answers_with_its_own_type(client: AsyncGenAIClient) -> None:
    summary = await client.summarize(TEXT, max_sentences=1, metadata={"feed": "x"})
    found = await client.extract(TEXT, entity_types=["place"])
    label = await client.classify(TEXT, ["travel", "sport"])
    both = await client.compare([TEXT, "Fares rise."])
    other = await client.rewrite(TEXT, max_words=5)
    said = await client.complete(messages=[{"role": "user", "content": "Hi"}], temperature=0.5, max_tokens=5)
    vectors = await client.embed(["a", "b"])
    ran = await client.execute_prompt("tone", {"content": TEXT})
    assert (summary.output.summary != "", summary.result.metadata) == (True, {"feed": "x"})
    assert all(TEXT[each.start : each.end] == each.text for each in found.output.entities)
    assert label.output.category in {"travel", "sport"}
    assert 0 <= both.output.similarity <= 1
    assert len(other.output.content.split()) <= 5
    assert (said.output.finish_reason, len(vectors.output.embeddings)) == ("stop", 2)
    assert (ran.output.prompt.slug, ran.cost_usd) == ("tone", ran.result.usage.cost_usd)


async def test_what_is_not_finished_at_once_is_followed_to_its_result(
    client: AsyncGenAIClient, parts: tuple[Front, Spine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genai_spine_client.calls.LONGEST_WAIT_S", 0.0)
    answer = await client.summarize(f"{TEXT} [fake:sleep:0.3]")
    assert (answer.output.summary != "", calls(parts)) == (True, 1)


async def test_patience_ends_and_the_request_goes_on(client: AsyncGenAIClient, parts: tuple[Front, Spine]) -> None:
    with pytest.raises(errors.TimedOut, match="goes on") as raised:
        await client.summarize(f"{TEXT} [fake:sleep:1]", timeout=0.2)
    id_ = raised.value.request_id
    assert id_ is not None
    kinds = [event.event async for event in client.requests.events(id_)]
    found = await client.requests.get(id_)
    assert (kinds[-1], calls(parts)) == ("result", 1)
    assert isinstance(found, Result)


async def test_a_failure_and_a_refusal_have_the_servers_words(client: AsyncGenAIClient) -> None:
    with pytest.raises(errors.Failed) as failed:
        await client.classify(TEXT, [])
    with pytest.raises(errors.InvalidRequest) as refused:
        await client.usage(by="moon")
    with pytest.raises(errors.NotFound, match="no-such") as missing:
        await client.requests.get("no-such")
    assert (failed.value.type, "categories" in failed.value.message) == ("invalid_request", True)
    assert (refused.value.status, refused.value.type, "by='moon'" in str(refused.value)) == (
        422,
        "invalid_request",
        True,
    )
    assert missing.value.x_request_id


async def test_ask_takes_any_operation_and_hands_back_what_came(client: AsyncGenAIClient) -> None:
    good = await client.ask("summarize", {"content": TEXT}, id="a/1", lane="realtime")
    bad = await client.ask("summarize", {"content": " "})
    again = await client.ask("summarize", {"content": TEXT}, id="a/1")
    assert (good.status, bad.status, again.replayed) == ("succeeded", "failed", True)


async def test_a_cancel_ends_it_and_whoever_waits_is_told(client: AsyncGenAIClient) -> None:
    with pytest.raises(errors.TimedOut):
        await client.summarize(f"{TEXT} [fake:sleep:20]", id="slow", timeout=0.2)
    standing = await client.requests.get("slow")
    assert isinstance(standing, Standing)
    assert (await client.requests.cancel("slow", operation="summarize")).cancel in {"cancelled", "stopping"}
    kinds = [event.event async for event in client.requests.events("slow")]
    found = await client.requests.get("slow")
    await client.summarize(TEXT, id="quick")
    with pytest.raises(errors.Conflict, match="ended before"):
        await client.requests.cancel("quick")
    listed = [item.request_id async for item in client.requests.list(state="cancelled")]
    assert (found.status, listed, kinds[-1]) == ("cancelled", ["slow"], "result")


async def test_the_books_and_the_models(client: AsyncGenAIClient) -> None:
    await client.summarize(TEXT)
    usage, costs, grouped = await client.usage(), await client.costs(), await client.costs(by="operation")
    models = await client.models()
    assert (usage.totals.calls, usage.items[0].calls, costs.days[0].provider) == (1, 1, "fake")
    assert (grouped.items[0].model_dump()["operation"], costs.totals.cost_usd) == ("summarize", usage.totals.cost_usd)
    assert {model.owned_by for model in models.data} >= {"fake"}


async def test_prompts_from_their_first_version_to_a_rollback(client: AsyncGenAIClient) -> None:
    prompts = client.prompts
    made = await prompts.create("port-news", "{{ content }} News?", variables=[{"name": "content", "type": "content"}])
    await prompts.move("port-news", "production", 1, why="first", who="ann")
    edited = await prompts.edit(
        "port-news", revision=made.revision + 1, template="{{ content }} What?", notes="shorter"
    )
    with pytest.raises(errors.Stale):
        await prompts.edit("port-news", revision=made.revision, template="{{ content }} No?", notes="late")
    with pytest.raises(errors.Conflict):
        await prompts.create("port-news", "Hello.")
    await prompts.move("port-news", "production", weights={1: 1, 2: 3}, why="try")
    diff = await prompts.diff("port-news", 1, 2)
    back = await prompts.rollback("port-news", why="worse")
    labels = await prompts.labels("port-news")
    rendered = await prompts.render("port-news", {"content": "Fog."}, version=2)
    ran = await client.execute_prompt("port-news", {"content": "Fog."})
    did, arms = await prompts.executions("port-news"), await prompts.arms("port-news", "production")
    assert (edited.version, edited.current.notes, diff.changes[0].field) == (2, "shorter", "template")
    assert (back.labels, [move.why for move in labels.history], labels.history[-1].who) == (
        {"production": 1},
        ["rollback: worse", "try", "first"],
        "ann",
    )
    assert ("Fog." in rendered.user and "What?" in rendered.user, ran.output.prompt.version) == (True, 1)
    assert [(each.version, each.calls) for each in did.versions] == [(1, 1)]
    assert (arms.against, [(each.version, each.share) for each in arms.arms]) == (1, [(1, 1.0)])
    assert [item.slug async for item in prompts.list(q="port-news")] == ["port-news"]
    assert [each.version for each in (await prompts.versions("port-news")).items] == [2, 1]
    assert (await prompts.version("port-news", 1)).template == "{{ content }} News?"
    assert (await prompts.archive("port-news")).archived_at is not None
    assert (await prompts.restore("port-news")).archived_at is None
    assert (await prompts.unlabel("port-news", "production")).labels == {}


async def test_a_run_is_submitted_once_waited_for_and_collected(
    client: AsyncGenAIClient, parts: tuple[Front, Spine]
) -> None:
    params = {"texts": [TEXT, "Fares rise.", "x [fake:rejected*1]"], "max_sentences": 1}
    run = await client.runs.submit("workflow", "genai.batch_summarize", params, idempotency_key="k")
    same = await client.runs.submit("workflow", "genai.batch_summarize", params, idempotency_key="k")
    ended = await client.runs.wait(run.run_id, timeout=20)
    items = [item async for item in client.runs.iter_items(run.run_id, limit=2)]
    results = [item async for item in client.runs.results(run.run_id)]
    told = [each async for each in client.runs.events(run.run_id)]
    assert (same.run_id, ended.status, ended.progress.failed) == (run.run_id, "partially_failed", 1)
    assert (ended.result["count"], [item.index for item in items]) == (3, [0, 1, 2])
    assert (items[2].error is not None, results, told[-1].status) == (True, items, "partially_failed")
    assert [each.run_id async for each in client.runs.list(name="batch_summarize")] == [run.run_id]
    retried = await client.runs.retry(run.run_id, budget_usd="5")
    assert (retried.retried, retried.budget and retried.budget.limit_usd) == (1, "5.000000")
    assert (await client.runs.wait(run.run_id, timeout=20)).status == "succeeded"


async def test_a_run_is_cancelled(client: AsyncGenAIClient) -> None:
    run = await client.runs.submit("workflow", "batch_summarize", {"texts": ["[fake:sleep:20]"] * 3})
    assert (await client.runs.cancel(run.run_id)).run_id == run.run_id
    assert (await client.runs.wait(run.run_id, timeout=20)).status == "cancelled"
    with pytest.raises(errors.Conflict):
        await client.runs.cancel(run.run_id)


async def test_items_are_uploaded_from_a_file_an_iterator_and_as_they_come(
    client: AsyncGenAIClient, tmp_path: Path
) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('"One."\n{"content": "Two.", "max_sentences": 1}\n')

    async def coming() -> Any:
        yield "Three."
        yield {"content": "Four."}

    for source in (file, ["One.", {"content": "Two."}], coming()):
        run = await client.runs.upload("batch_summarize", source, params={"max_sentences": 2}, priority="realtime")
        ended = await client.runs.wait(run.run_id, timeout=20)
        assert (ended.status, ended.result["count"]) == ("succeeded", 2)
    with pytest.raises(errors.InvalidRequest, match="the lines are the items"):
        await client.runs.upload("batch_summarize", ["One."], params={"texts": ["Two."]})
    with file.open("rb") as opened:
        assert (await client.runs.upload("batch_summarize", opened)).progress.total == 2


async def test_a_chat_is_streamed_and_whoever_stops_reading_stops_the_call(client: AsyncGenAIClient) -> None:
    message = {"role": "user", "content": "Name three ports."}
    chunks = [chunk async for chunk in client.stream_chat([message], model="fake")]
    slow = client.stream_chat([message | {"content": "Name ten of them, slowly. [fake:gate]"}], model="fake")
    await anext(slow)
    await slow.aclose()
    async with asyncio.timeout(10):
        while "cancelled" not in [item.status async for item in client.requests.list()]:
            await asyncio.sleep(0.05)
    assert "".join(chunk.text for chunk in chunks) != ""
    assert chunks[-1].choices[0].finish_reason == "stop"
    with pytest.raises(errors.NotFound, match="no model `nope`") as raised:
        await anext(client.stream_chat([message], model="nope"))
    assert raised.value.details["code"] == "model_not_found"


async def test_a_key_is_asked_for(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path, api_key="a-key-of-some-length")) as (front, _):
        sock = server.bind("127.0.0.1", 0, "GENAI_API_PORT")
        async with server.serving(make_api(front), sock):
            url = server.address(sock)
            async with AsyncGenAIClient(url, api_key="a-key-of-some-length") as client:
                assert (await client.models()).data
            async with AsyncGenAIClient(url) as client:
                with pytest.raises(errors.NotAllowed) as raised:
                    await client.models()
    assert (raised.value.status, raised.value.type) == (401, "invalid_request_error")  # OpenAI's clients read it there
