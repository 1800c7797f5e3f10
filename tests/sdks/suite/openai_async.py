"""The official client, without blocking."""

import asyncio
from typing import Any

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

SAID: list[Any] = [{"role": "user", "content": "Where is the ferry?"}]


class Sighting(BaseModel):
    ship: str


@pytest.fixture
def client(base_url: str, key: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=base_url, api_key=key)


def test_chats_at_once(client: AsyncOpenAI) -> None:
    async def asked() -> set[str]:
        made = await asyncio.gather(*(client.chat.completions.create(model="fake", messages=SAID) for _ in range(8)))
        return {each.id for each in made}

    assert len(asyncio.run(asked())) == 8


def test_a_stream(client: AsyncOpenAI) -> None:
    async def read() -> list[Any]:
        return [chunk async for chunk in await client.chat.completions.create(model="fake", messages=SAID, stream=True)]

    chunks = asyncio.run(read())
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_stream_that_is_left(client: AsyncOpenAI) -> None:
    async def left() -> str:
        said: list[Any] = [{"role": "user", "content": "One two three. [fake:gate]"}]
        stream = await client.chat.completions.create(model="fake", messages=said, stream=True)
        async for chunk in stream:
            await stream.close()
            return chunk.id
        raise AssertionError("nothing came")

    assert asyncio.run(left()).startswith("chatcmpl-")


def test_an_answer_of_a_class_and_embeddings(client: AsyncOpenAI) -> None:
    async def asked() -> tuple[Any, Any]:
        made = await client.chat.completions.parse(model="fake", messages=SAID, response_format=Sighting)
        return made.choices[0].message.parsed, await client.embeddings.create(model="fake-embed", input="a")

    parsed, embedded = asyncio.run(asked())
    assert isinstance(parsed, Sighting)
    assert len(embedded.data) == 1
