"""The official client, as anybody uses it."""

import json
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

SAID: list[Any] = [{"role": "user", "content": "Where is the ferry?"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place.",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}


@pytest.fixture
def client(base_url: str, key: str) -> OpenAI:
    return OpenAI(base_url=base_url, api_key=key)


def test_a_chat(client: OpenAI) -> None:
    made = client.chat.completions.create(model="fake", messages=SAID, max_tokens=20, temperature=0.5, user="u")
    assert made.choices[0].message.content
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens
    assert made.id.startswith("chatcmpl-")
    raw = client.chat.completions.with_raw_response.create(model="fake/fake", messages=SAID)
    assert raw.headers["x-genai-request-id"] == raw.parse().id
    assert raw.headers["x-request-id"]
    assert float(raw.headers["x-genai-cost-usd"]) > 0


def test_several_answers_stops_and_log_probabilities(client: OpenAI) -> None:
    made = client.chat.completions.create(
        model="fake", messages=SAID, n=2, stop=["zz"], seed=3, logprobs=True, top_logprobs=2, presence_penalty=0.5
    )
    assert [choice.index for choice in made.choices] == [0, 1]
    assert made.choices[0].logprobs is not None
    assert made.choices[0].logprobs.content


def test_a_stream_with_its_usage(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="fake", messages=SAID, stream=True, seed=1, stream_options={"include_usage": True}
        )
    )
    words = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    whole = client.chat.completions.create(model="fake", messages=SAID, seed=1)
    assert words == whole.choices[0].message.content
    assert len(chunks) > 4
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


class Sighting(BaseModel):
    ship: str
    hours_late: int


def test_an_answer_of_a_class(client: OpenAI) -> None:
    made = client.chat.completions.parse(model="fake", messages=SAID, response_format=Sighting)
    assert isinstance(made.choices[0].message.parsed, Sighting)


def test_a_class_out_of_a_stream(client: OpenAI) -> None:
    with client.chat.completions.stream(model="fake", messages=SAID, response_format=Sighting) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"content.delta", "content.done", "chunk"} <= kinds
    assert isinstance(final.choices[0].message.parsed, Sighting)


def test_tools_there_and_back(client: OpenAI) -> None:
    asked: list[Any] = [{"role": "user", "content": "Weather? [fake:tool:weather]"}]
    first = client.chat.completions.create(model="fake", messages=asked, tools=[TOOL])
    (call,) = first.choices[0].message.tool_calls or []
    assert first.choices[0].finish_reason == "tool_calls"
    assert call.type == "function"
    assert isinstance(json.loads(call.function.arguments)["place"], str)
    asked += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "fog"}]
    second = client.chat.completions.create(model="fake", messages=asked, tools=[TOOL])
    assert second.choices[0].message.content
    forced = client.chat.completions.create(
        model="fake", messages=SAID, tools=[TOOL], tool_choice={"type": "function", "function": {"name": "weather"}}
    )
    assert forced.choices[0].message.tool_calls


def test_tools_out_of_a_stream(client: OpenAI) -> None:
    asked: list[Any] = [{"role": "user", "content": "Weather? [fake:tool:weather]"}]
    with client.chat.completions.stream(
        model="fake", messages=asked, tools=[openai.pydantic_function_tool(Sighting, name="weather")]
    ) as stream:
        for _ in stream:
            pass
        (call,) = stream.get_final_completion().choices[0].message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, Sighting)


def test_a_picture(client: OpenAI) -> None:
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png}"}}
    said: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]}]
    assert client.chat.completions.create(model="fake", messages=said).choices[0].message.content


def test_embeddings(client: OpenAI) -> None:
    packed = client.embeddings.create(model="fake-embed", input=["a", "b"])  # base64, as this client asks by itself
    plain = client.embeddings.create(model="fake-embed", input="b", encoding_format="float")
    assert [len(each.embedding) for each in packed.data] == [len(plain.data[0].embedding)] * 2
    assert packed.data[1].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)


def test_old_completions(client: OpenAI) -> None:
    made = client.completions.create(model="fake", prompt=["One.", "Two."])
    assert [choice.index for choice in made.choices] == [0, 1]
    chunks = list(client.completions.create(model="fake", prompt="One.", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == made.choices[0].text


def test_models(client: OpenAI) -> None:
    assert "fake" in {model.id.rpartition("/")[2] for model in client.models.list()}
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no/such")


def test_errors_have_their_classes(client: OpenAI, base_url: str) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="fakee", messages=SAID)
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="fakee", messages=SAID, stream=True)
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model="fake", messages=SAID, temperature=9)
    assert (bad.value.param, bad.value.type) == ("temperature", "invalid_request_error")
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model="fake", messages=[{"role": "user", "content": "[fake:context_too_long]"}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.AuthenticationError) as stranger:
        OpenAI(base_url=base_url, api_key="wrong").models.list()
    assert stranger.value.status_code == 401
    with pytest.raises(openai.UnprocessableEntityError):
        for text in ("a", "b"):
            said: list[Any] = [{"role": "user", "content": text}]
            client.chat.completions.create(model="fake", messages=said, extra_headers={"Idempotency-Key": "one"})


def test_a_cut_stream_is_an_error(client: OpenAI) -> None:
    said: list[Any] = [{"role": "user", "content": "One two three four. [fake:cut]"}]
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="fake", messages=said, stream=True))


def test_a_time_out_is_the_clients_own(client: OpenAI) -> None:
    said: list[Any] = [{"role": "user", "content": "[fake:sleep:5]"}]
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3, max_retries=0).chat.completions.create(model="fake", messages=said)


def test_what_was_tried_as_often_as_it_may_is_not_tried_again(client: OpenAI) -> None:
    """The client tries three times where nobody tells it otherwise."""
    said: list[Any] = [{"role": "user", "content": "[fake:refused]"}]
    with pytest.raises(openai.InternalServerError) as refused:
        client.chat.completions.create(model="fake", messages=said)
    assert refused.value.response.request.headers["x-stainless-retry-count"] == "0"
