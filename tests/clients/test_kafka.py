"""The client over Kafka: the real broker, a real worker, the double as its model."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from genai_spine_client import errors
from genai_spine_client.kafka import RESULTS, Fold, KafkaClient
from genai_spine_client.schemas.result import Result, Source
from tests.system.stack import Stack, make_stack, request

pytestmark = pytest.mark.kafka

TEXT = "Acme sold 12 pumps. It was a good year."


def result(id_: str = "a", generation: int = 1, tenant: str = "default", operation: str = "summarize") -> Result:
    times = {"requested_at": "2026-11-21T10:00:00Z", "completed_at": "2026-11-21T10:00:01Z"}
    told = {"id": id_, "operation": operation, "tenant": tenant, "generation": generation, "status": "succeeded"}
    return Result.model_validate(told | times)


@pytest.mark.fast
def test_each_generation_is_told_once_and_an_older_one_never() -> None:
    fold = Fold(remembered=2)
    told = [(result(generation=n), fold.is_new(result(generation=n))) for n in (1, 1, 3, 2, 0, 0)]
    others = [fold.is_new(result(tenant="b")), fold.is_new(result(operation="extract"))]
    assert [new for _, new in told] == [True, False, True, False, True, True]
    assert others == [True, True]
    assert fold.is_new(result()) is True  # two others came since: it is forgotten


@pytest.mark.fast
async def test_a_result_about_another_record_with_the_same_id_is_not_taken() -> None:
    """Whether it comes before Kafka has said where our own one is, or after."""
    client = KafkaClient("nobody:9092")
    (first, ours), (second, theirs) = (client._expect("summarize", "a", "default") for _ in range(2))
    ours.is_at("requests", 1, 7)
    client._take(about("requests", 1, 9).model_dump_json().encode())
    assert (first.future.done(), second.future.done()) == (False, False)
    theirs.is_at("requests", 1, 9)
    assert (first.future.done(), second.future.result().generation) == (False, 0)
    client._take(result().model_dump_json().encode())
    assert (first.future.result().generation, client._waiting) == (1, {})


def about(topic: str, partition: int, offset: int) -> Result:
    return result(generation=0).model_copy(update={"source": Source(topic=topic, partition=partition, offset=offset)})


@pytest.fixture
async def stack(spine_bootstrap: str, tmp_path: Path) -> AsyncIterator[Stack]:
    made = await make_stack(spine_bootstrap, tmp_path / "data", drain_s=0.1)
    async with made.spine():
        yield made


async def test_requests_and_their_results(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """One walk, since a broker and a worker are dear: several clients, lanes, failures, duplicates, another tenant, the end."""
    async with KafkaClient(stack.bootstrap) as one, KafkaClient(stack.bootstrap, tenant="feeds") as other:
        await joined(one, other)
        await refused(one, monkeypatch)
        await told_twice(stack, one)
        await read_by_a_group(stack, one)
        left = await one.send("summarize", {"content": f"{TEXT} [fake:sleep:20]"})
        with pytest.raises(errors.TimedOut):
            await left.result(timeout=0.1)
    with pytest.raises(errors.Closed, match="goes on"):
        await left.result(timeout=1)
    with pytest.raises(errors.Closed, match="not started"):
        await one.send("summarize", {"content": TEXT})


async def joined(one: KafkaClient, other: KafkaClient) -> None:
    sent = [await one.send("summarize", {"content": f"{TEXT} {n}"}, lane=lane, key="acme")
            for n, lane in enumerate(("realtime", "normal", "batch"))]  # fmt: skip
    same = await other.send("summarize", {"content": TEXT}, id=sent[0].id)
    found = [await each.result(timeout=30) for each in sent]
    assert [each.id for each in found] == [each.id for each in sent]
    assert {each.status for each in found} == {"succeeded"}
    assert ((await same.result(timeout=30)).tenant, found[0].tenant) == ("feeds", "default")
    answer = await one.ask("classify", {"content": TEXT, "categories": ["a", "b"]}, timeout=30, metadata={"x": 1})
    assert (answer.output or {})["category"] in {"a", "b"}
    assert answer.metadata == {"x": 1}
    with pytest.raises(errors.Failed, match="blank") as failed:
        await one.ask("summarize", {"content": " "}, timeout=30)
    assert failed.value.type == "invalid_request"


async def refused(one: KafkaClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.Unreachable, match=r"no topic genai\.requests\.sing; operations there are classify, "):
        await one.send("sing", {"content": TEXT})
    monkeypatch.setattr("genai_spine_client.kafka.RESULTS", "no.such.results")
    with pytest.raises(errors.Unreachable, match=r"no topic no\.such\.results"):
        async with KafkaClient(one._bootstrap):
            pass
    monkeypatch.undo()


async def told_twice(stack: Stack, client: KafkaClient) -> None:
    """A result that stands in the topic twice answers once; what is no result is passed over."""
    sent = await client.send("summarize", {"content": f"{TEXT} [fake:sleep:0.3]"}, id="twice")
    first = result("twice").model_dump(mode="json")
    await stack.produce(b"{", first, first, topic=RESULTS)
    assert (await sent.result(timeout=30)).completed_at == result("twice").completed_at


async def read_by_a_group(stack: Stack, client: KafkaClient) -> None:
    seen: list[Any] = []

    async def member() -> None:
        async for each in client.results("a-group", from_start=True):
            seen.append((each.tenant, each.operation, each.id, each.generation))

    await stack.produce(request("by-another"))
    members = [asyncio.create_task(member()) for _ in range(2)]
    for _ in range(300):
        if any(id_ == "by-another" for _, _, id_, _ in seen) and any(id_ == "twice" for _, _, id_, _ in seen):
            break
        await asyncio.sleep(0.1)
    for each in members:
        each.cancel()
    await asyncio.gather(*members, return_exceptions=True)
    values = [json.loads(record.value or b"{}") for record in await stack.results() if record.value != b"{"]
    whole = {(value["tenant"], value["operation"], value["id"]) for value in values}
    assert {each[:3] for each in seen} <= whole
    assert len([each for each in seen if each[2] == "by-another"]) == 1


async def test_no_broker() -> None:
    with pytest.raises(errors.Unreachable, match=r"No Kafka at 127\.0\.0\.1:1"):
        async with KafkaClient("127.0.0.1:1"):
            pass
