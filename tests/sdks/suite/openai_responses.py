"""The official client's Responses, as anybody uses them: at once, streamed, parsed, in the background, and gone on with."""

import asyncio
import time
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

SAID = "Where is the ferry? It is somewhere between Bergen and Stavanger, and it is late."
TOOL: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a place.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    "strict": False,
}


class Sighting(BaseModel):
    ship: str
    hours_late: int


@pytest.fixture
def client(base_url: str, key: str) -> OpenAI:
    return OpenAI(base_url=base_url, api_key=key)


@pytest.fixture
def aclient(base_url: str, key: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=base_url, api_key=key)


def ended(client: OpenAI, id_: str) -> Any:
    for _ in range(200):
        found = client.responses.retrieve(id_)
        if found.status not in {"queued", "in_progress"}:
            return found
        time.sleep(0.05)
    raise AssertionError("it never ended")


def test_a_response_is_made_shown_listed_and_deleted(client: OpenAI) -> None:
    made = client.responses.create(model="fake", input=SAID, instructions="Be brief.", metadata={"a": "b"})
    assert made.output_text and made.status == "completed"
    assert made.usage is not None and made.usage.total_tokens > 0
    assert client.responses.retrieve(made.id) == made
    (item,) = client.responses.input_items.list(made.id)
    assert (item.type, item.content[0].text) == ("message", SAID)  # type: ignore[union-attr]
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_a_stream_ends_with_what_is_kept(client: OpenAI) -> None:
    events = list(client.responses.create(model="fake", input=SAID, stream=True))
    words = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert words == events[-1].response.output_text == client.responses.retrieve(events[-1].response.id).output_text
    assert len(events) > 10


def test_an_answer_of_a_class_whole_and_out_of_a_stream(client: OpenAI) -> None:
    made = client.responses.parse(model="fake", input=SAID, text_format=Sighting)
    assert isinstance(made.output_parsed, Sighting)
    with client.responses.stream(model="fake", input=SAID, text_format=Sighting) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert {"response.created", "response.output_text.delta", "response.completed"} <= kinds
    assert isinstance(final.output_parsed, Sighting)


def test_tools_there_and_back_and_on_from_there(client: OpenAI) -> None:
    made = client.responses.create(model="fake", input=f"{SAID} [fake:tools:2]", tools=[TOOL])
    calls = [item for item in made.output if item.type == "function_call"]
    outputs: list[Any] = [{"type": "function_call_output", "call_id": call.call_id, "output": "fog"} for call in calls]
    by_id = client.responses.create(model="fake", input=outputs, previous_response_id=made.id, tools=[TOOL])
    sent_back: list[Any] = [{"role": "user", "content": SAID}, *made.output, *outputs]
    by_hand = client.responses.create(model="fake", input=sent_back, tools=[TOOL], store=False)
    assert len(calls) == 2 and by_hand.output_text
    assert by_id.previous_response_id == made.id


def test_the_background_polled_cancelled_and_gone_on_with(client: OpenAI) -> None:
    made = client.responses.create(model="fake", input=SAID, background=True)
    assert made.status == "queued" and ended(client, made.id).output_text == SAID
    slow = client.responses.create(model="fake", input=f"{SAID} [fake:sleep:30]", background=True)
    assert client.responses.cancel(slow.id).status == "cancelled"
    first = []
    for event in client.responses.create(model="fake", input=SAID, background=True, stream=True):
        first.append(event)
        if event.sequence_number == 6:
            break
    id_ = first[0].response.id  # type: ignore[union-attr]
    rest = list(client.responses.retrieve(id_, stream=True, starting_after=6))
    whole = list(client.responses.retrieve(id_, stream=True))
    assert [*first, *rest] == whole
    assert rest[-1].type == "response.completed"
    with client.responses.stream(response_id=id_, starting_after=6) as stream:
        assert stream.get_final_response().output_text == SAID


def test_what_is_wrong_is_raised_with_its_name(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as wrong:
        client.responses.create(model="fake", input=SAID, previous_response_id="resp_nobody")
    assert (wrong.value.code, wrong.value.param) == ("previous_response_not_found", "previous_response_id")
    with pytest.raises(openai.BadRequestError) as tool:
        client.responses.create(model="fake", input=SAID, tools=[{"type": "web_search"}])
    assert tool.value.param == "tools[0].type"
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="nobody", input=SAID)


def test_the_same_without_blocking(aclient: AsyncOpenAI) -> None:
    async def work() -> None:
        made = await aclient.responses.create(model="fake", input=SAID)
        assert (await aclient.responses.retrieve(made.id)).output_text == made.output_text == SAID
        events = [event async for event in await aclient.responses.create(model="fake", input=SAID, stream=True)]
        assert events[-1].type == "response.completed"
        parsed = await aclient.responses.parse(model="fake", input=SAID, text_format=Sighting)
        assert isinstance(parsed.output_parsed, Sighting)
        behind = await aclient.responses.create(model="fake", input=SAID, background=True)
        found = [event async for event in await aclient.responses.retrieve(behind.id, stream=True, starting_after=2)]
        assert [event.sequence_number for event in found] == list(range(3, 3 + len(found)))
        assert found[-1].response.output_text == SAID  # type: ignore[union-attr]
        slow = await aclient.responses.create(model="fake", input=f"{SAID} [fake:sleep:30]", background=True)
        assert (await aclient.responses.cancel(slow.id)).status == "cancelled"

    asyncio.run(work())
