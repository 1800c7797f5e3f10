"""Anthropic's official client, sync and async."""

import asyncio
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic

SAID: list[Any] = [{"role": "user", "content": "Where is the ferry?"}]
TOOL: Any = {
    "name": "weather",
    "description": "The weather of a place.",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


@pytest.fixture
def client(base_url: str, key: str) -> Anthropic:
    return Anthropic(base_url=base_url.removesuffix("/v1"), api_key=key)


def test_a_message(client: Anthropic) -> None:
    made = client.messages.create(model="fake", max_tokens=20, messages=SAID, system="Be brief.", stop_sequences=["zz"])
    assert made.content[0].type == "text"
    assert made.stop_reason in ("end_turn", "max_tokens")
    assert made.usage.output_tokens > 0
    assert made._request_id == made.id
    assert client.messages.count_tokens(model="fake", messages=SAID).input_tokens > 0


def test_a_stream(client: Anthropic) -> None:
    with client.messages.stream(model="fake", max_tokens=200, messages=SAID) as stream:
        words = list(stream.text_stream)
        whole = stream.get_final_message()
    assert len(words) > 2
    assert "".join(words) == whole.content[0].text
    assert whole.usage.input_tokens > 0
    assert whole.stop_reason == "end_turn"


def test_tools_there_and_back_and_out_of_a_stream(client: Anthropic) -> None:
    asked: list[Any] = [{"role": "user", "content": "Weather? [fake:tool:weather]"}]
    first = client.messages.create(model="fake", max_tokens=200, messages=asked, tools=[TOOL])
    (call,) = [block for block in first.content if block.type == "tool_use"]
    assert first.stop_reason == "tool_use"
    assert isinstance(call.input["place"], str)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "fog"}
    asked += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = client.messages.create(model="fake", max_tokens=200, messages=asked, tools=[TOOL])
    assert second.content[0].type == "text"
    with client.messages.stream(
        model="fake", max_tokens=200, messages=SAID, tools=[TOOL], tool_choice={"type": "tool", "name": "weather"}
    ) as stream:
        final = stream.get_final_message()
    assert final.content[-1].type == "tool_use"
    assert isinstance(final.content[-1].input["place"], str)


def test_errors_have_their_classes(client: Anthropic, base_url: str) -> None:
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="fakee", max_tokens=20, messages=SAID)
    with pytest.raises(anthropic.BadRequestError) as bad:
        client.messages.create(model="fake", max_tokens=9000, messages=SAID)
    assert "max_tokens" in str(bad.value)
    with pytest.raises(anthropic.AuthenticationError):
        Anthropic(base_url=base_url.removesuffix("/v1"), api_key="wrong").messages.create(
            model="fake", max_tokens=20, messages=SAID
        )
    said: list[Any] = [{"role": "user", "content": "One two three four. [fake:cut]"}]
    with (
        pytest.raises(anthropic.APIError),
        client.messages.stream(model="fake", max_tokens=20, messages=said) as stream,
    ):
        list(stream.text_stream)


def test_without_blocking(base_url: str, key: str) -> None:
    async def asked() -> Any:
        client = AsyncAnthropic(base_url=base_url.removesuffix("/v1"), api_key=key)
        async with client.messages.stream(model="fake", max_tokens=200, messages=SAID) as stream:
            return await stream.get_final_message()

    assert asyncio.run(asked()).content[0].text
