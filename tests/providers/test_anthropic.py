"""Anthropic's provider: what is missing, what it remembers, and what it keeps to itself."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from providers import fake_server
from providers.anthropic import ADDRESS, AnthropicProvider
from providers.base import Shelf
from providers.calls import ChatCall, EmbedCall, Image, Message
from providers.double.http1 import Response
from providers.errors import Refused, Rejected, ServerError, Unreadable, Unsupported

pytestmark = pytest.mark.fast

Start = Callable[..., Awaitable[Any]]
HELLO = (Message("user", "hello"),)
MESSAGE = (
    b'{"type":"message","model":"m","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn",'
    b'"usage":{"input_tokens":1,"output_tokens":1}}'
)


async def test_without_a_key_it_is_known_and_says_what_to_set() -> None:
    provider = AnthropicProvider()
    assert (provider.nodes(), await provider.shelf()) == ((ADDRESS,), Shelf((), (provider.missing,)))
    for attempt in (provider.models(), provider.chat(ChatCall("claude-haiku-5-5", HELLO, 5.0), ADDRESS)):
        with pytest.raises(Refused, match="GENAI_ANTHROPIC_API_KEY"):
            await attempt
    await provider.aclose()


async def test_embeddings_are_refused_with_who_has_them() -> None:
    provider = AnthropicProvider("k")
    with pytest.raises(Unsupported, match="ollama, local, openai or bedrock"):
        await provider.embed(EmbedCall("claude-haiku-5-5", ("x",), 5.0), ADDRESS)
    await provider.aclose()


async def test_a_server_of_ones_own_needs_no_key_and_is_told_our_ids(replay: Start) -> None:
    server = await replay(Response(MESSAGE))
    provider = AnthropicProvider(None, server.url)
    answer = await provider.chat(ChatCall("m", HELLO, 5.0, tag="r/1\u00e9"), server.url)
    await provider.aclose()
    request = server.requests[0]
    assert (answer.text, request.path, request.tag) == ("Hi", "/v1/messages", "r/1\\xe9")
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert "x-api-key" not in request.headers


async def test_a_key_that_a_server_quotes_is_not_shown(replay: Start) -> None:
    server = await replay(
        Response(b'{"type":"error","error":{"type":"invalid_request_error","message":"bad key sk-ant-1"}}', 400)
    )
    provider = AnthropicProvider("sk-ant-1", server.url)
    with pytest.raises(Rejected) as caught:
        await provider.chat(ChatCall("m", HELLO, 5.0), server.url)
    assert "sk-ant-1" not in str(caught.value)
    await provider.aclose()


async def test_a_key_in_a_streams_error_is_not_shown(replay: Start) -> None:
    event = b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"no sk-ant-1 here"}}\n\n'
    server = await replay(Response(event, kind="text/event-stream"))
    provider = AnthropicProvider("sk-ant-1", server.url)
    with pytest.raises(ServerError, match="no … here"):
        await provider.chat(ChatCall("m", HELLO, 5.0, on_delta=lambda _: None), server.url)
    await provider.aclose()


async def test_the_list_of_models_is_asked_for_once_in_a_while_and_what_it_says_of_them_is_believed(
    double: fake_server.FakeServer,
) -> None:
    provider = AnthropicProvider("k", double.url)
    before = provider.able("claude-opus-4-1")
    names = await provider.models()
    after = provider.able("claude-opus-4-1")
    assert (before.context_tokens, after.context_tokens, after.output_tokens) == (200_000, 2000, 64_000)
    await double.aclose()
    assert await provider.models() == names
    assert {model.name for model in (await provider.shelf()).models} == set(names)
    await provider.aclose()


async def test_a_prompt_is_counted_as_its_answer_would_count_it(double: fake_server.FakeServer) -> None:
    provider = AnthropicProvider("k", double.url)
    call = ChatCall("fake", (Message("system", "Be brief."), *HELLO), 5.0, max_tokens=9, temperature=0.5, stop=("x",))
    answer = await provider.chat(call, double.url)
    assert await provider.count(call, double.url) == answer.spent.input_tokens == 3
    await provider.aclose()


@pytest.mark.parametrize("said", [b'{"input_tokens":"3"}', b"[]", b"<html>"])
async def test_a_count_that_is_none_is_unreadable(said: bytes, replay: Start) -> None:
    server = await replay(Response(said))
    provider = AnthropicProvider("k", server.url)
    with pytest.raises(Unreadable, match="count of tokens is none"):
        await provider.count(ChatCall("m", HELLO, 5.0), server.url)
    await provider.aclose()


async def test_the_list_is_read_over_its_pages(replay: Start) -> None:
    server = await replay(Response(b'{"data":[{"id":"a"}],"has_more":true,"last_id":"a"}'))

    def answer(connection: Any, request: Any) -> None:
        server.requests.append(request)
        last = Response(b'{"data":[{"id":"b"}],"has_more":false,"last_id":"b"}')
        connection.answer(last if "after_id=a" in request.query else server.reply)

    server.received = answer
    provider = AnthropicProvider("k", server.url)
    assert await provider.models() == ("a", "b")
    assert [request.query for request in server.requests] == ["limit=1000", "limit=1000&after_id=a"]
    await provider.aclose()


async def test_a_server_among_ours_is_given_no_picture_to_fetch(replay: Start) -> None:
    server = await replay(Response(MESSAGE))
    provider = AnthropicProvider(None, server.url)
    turn = Message("user", "", (Image("https://169.254.169.254/latest/"),))
    for attempt in (provider.chat, provider.count):
        with pytest.raises(Rejected, match="link-local"):
            await attempt(ChatCall("m", (turn,), 5.0), server.url)
    await provider.aclose()
    assert server.requests == []
