"""Ollama's provider: what a real Ollama's recorded replies mean, and many nodes."""

from collections.abc import Awaitable, Callable

import orjson
import pytest

from providers import fake_server, ollama_chat
from providers.base import Model
from providers.calls import ChatCall, EmbedCall
from providers.double.http1 import Response
from providers.errors import (
    ContextTooLong,
    ModelNotFound,
    Overloaded,
    ProviderError,
    Refused,
    Rejected,
    ServerError,
    Unreachable,
    Unreadable,
    Unsupported,
)
from providers.ollama import OllamaProvider
from tests.providers.conftest import recorded

pytestmark = pytest.mark.fast

Ask = Callable[..., ChatCall]
Start = Callable[..., Awaitable[object]]

REFUSALS = [  # what Ollama 0.17.4 said, what it means, a word of it that reaches the user
    ("err_missing_model_chat", ModelNotFound, "ollama pull nope"),
    ("err_missing_model_stream", ModelNotFound, "ollama pull nope"),
    ("err_missing_model_embed", ModelNotFound, "smol:latest"),
    ("err_no_model", Rejected, "model is required"),
    ("err_empty_body", Rejected, "missing request body"),
    ("err_malformed_json", Rejected, "unexpected EOF"),
    ("err_bad_keep_alive", Rejected, "invalid duration"),
    ("err_bad_format_schema", Rejected, "invalid JSON schema in format"),  # 500, but of the call: never run
    ("err_bad_format_string", Rejected, "invalid format"),
    ("err_bad_format_number", Rejected, "invalid format"),
    ("err_bad_option", Rejected, "must be of type float32"),
    ("err_tools_unsupported", Unsupported, "does not support tools"),
    ("chat_on_embed_model", Unsupported, "does not support chat"),
    ("embed_too_long", ContextTooLong, "exceeds the context length"),
    ("err_embed_model_failed_to_load", ServerError, "model failed to load"),
    ("overload_3", Overloaded, "server busy"),
    ("err_404_path", Unreadable, "not an Ollama's"),
    ("err_405", Unreadable, "not an Ollama's"),
]


@pytest.mark.parametrize(("name", "meaning", "words"), REFUSALS, ids=[row[0] for row in REFUSALS])
async def test_a_recorded_refusal_has_its_meaning(
    name: str, meaning: type[ProviderError], words: str, replay: Start, ask: Ask
) -> None:
    server = await replay(name, tags="tags")
    provider = OllamaProvider((server.url,))
    with pytest.raises(meaning) as caught:
        await provider.chat(ask(model="nope"), server.url)
    await provider.aclose()
    assert (type(caught.value), words in str(caught.value)) == (meaning, True)


@pytest.mark.parametrize(
    ("name", "text", "finish", "used"),
    [
        ("chat_nostream", "The answer to your question", "stop", (21, 29, 40.576701781)),
        ("chat_length", 'The story of the "', "length", (14, 5, 16.800316443)),
        ("chat_format_schema", '{\n  "label": "account"', "stop", (18, 29, 12.182479742)),
    ],
)
async def test_a_recorded_answer_is_read_with_its_counters(
    name: str, text: str, finish: str, used: tuple[int, int, float], replay: Start, ask: Ask
) -> None:
    """GPU-seconds are the durations of prompt and answer: the loading of the model is not among them."""
    server = await replay(name)
    provider = OllamaProvider((server.url,))
    answer = await provider.chat(ask(), server.url)
    await provider.aclose()
    spent = answer.spent
    assert answer.text.startswith(text)
    assert (answer.finish_reason, spent.input_tokens, spent.output_tokens) == (finish, *used[:2])
    assert spent.gpu_seconds == pytest.approx(used[2])
    assert spent.estimated is False


async def test_a_text_above_an_embedding_models_context_is_reported_with_the_context_that_is_loaded(
    replay: Start,
) -> None:
    """`/api/ps` says 4096 of smol; the text's guess is raised above it, for Ollama did refuse it."""
    server = await replay("embed_too_long", ps="ps_loaded")
    provider = OllamaProvider((server.url,), num_ctx=8192)
    with pytest.raises(ContextTooLong) as caught:
        await provider.embed(EmbedCall("smol", ("word " * 100,), 5.0), server.url)
    await provider.aclose()
    assert caught.value.details == {"prompt_tokens": 4097, "context_tokens": 4096}


async def test_the_true_figures_are_taken_from_an_ollama_that_gives_them(replay: Start, ask: Ask) -> None:
    """The shape of llama-server's refusal as newer Ollamas pass it on: JSON inside the message."""
    inner = '{"error":{"code":400,"type":"exceed_context_size_error","n_prompt_tokens":2622,"n_ctx":512}}'
    server = await replay(Response(orjson.dumps({"error": inner}), 400))
    provider = OllamaProvider((server.url,))
    with pytest.raises(ContextTooLong) as caught:
        await provider.chat(ask(), server.url)
    await provider.aclose()
    assert caught.value.details == {"prompt_tokens": 2622, "context_tokens": 512}


async def test_a_call_on_the_wire(replay: Start, ask: Ask) -> None:
    """Nothing that was not wished for is sent; `num_ctx` always is, as another one makes Ollama load the model anew."""
    server = await replay("chat_nostream")
    provider = OllamaProvider((server.url,), num_ctx=4096, keep_alive="10m")
    await provider.chat(
        ask(
            "hi",
            model="smol",
            temperature=0.0,
            max_tokens=7,
            stop=("END",),
            seed=3,
            schema={"type": "object"},
            tag="r/1é",
        ),
        server.url,
    )
    await provider.aclose()
    request = server.requests[0]
    assert (request.method, request.path, request.tag) == ("POST", "/api/chat", "r/1\\xe9")
    assert orjson.loads(request.body) == {
        "model": "smol",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": False,
        "truncate": False,
        "shift": False,
        "keep_alive": "10m",
        "format": {"type": "object"},
        "options": {"num_ctx": 4096, "temperature": 0.0, "num_predict": 7, "stop": ["END"], "seed": 3},
    }


@pytest.mark.parametrize(
    "reply",
    [
        Response(b'{"message":{"content":"The"},"done":false}\n{"message":{"conte'),  # the second line is half
        Response(b'{"model":"x","message":{"role":"assistant","content":"The'),  # broken
        Response(b"[]"),  # no object
        Response(b'{"message":{"content":null},"done":true}'),  # no text
        Response(b'{"message":{"content":"The"},"done":false}'),  # not the end
        Response(b"<html>hello</html>", kind="text/html"),  # a proxy's page
        Response(b"", 200),
    ],
)
@pytest.mark.parametrize("told", [None, lambda _: None], ids=["whole", "streamed"])
async def test_an_answer_against_the_protocol_is_unreadable_and_maybe_paid(
    reply: Response, told: Callable[[int], None] | None, replay: Start, ask: Ask
) -> None:
    server = await replay(reply)
    provider = OllamaProvider((server.url,))
    with pytest.raises(Unreadable) as caught:
        await provider.chat(ask(on_tokens=told), server.url)
    await provider.aclose()
    assert caught.value.maybe_paid


async def test_a_recorded_stream_is_read_as_the_whole_answer_was(replay: Start, ask: Ask) -> None:
    """The same model and the same question: the same text and counts; the durations are each call's own."""
    told: list[int] = []
    answers = []
    for name, listening in (("chat_nostream", None), ("chat_stream", told.append)):
        server = await replay(name)
        provider = OllamaProvider((server.url,))
        answers.append(await provider.chat(ask(on_tokens=listening), server.url))
        await provider.aclose()
        assert orjson.loads(server.requests[0].body)["stream"] is (listening is not None)
    whole, streamed = answers
    assert (streamed.text, streamed.finish_reason, streamed.spent.input_tokens, streamed.spent.output_tokens) == (
        whole.text,
        whole.finish_reason,
        whole.spent.input_tokens,
        whole.spent.output_tokens,
    )
    assert streamed.spent.gpu_seconds == pytest.approx(3.101749095 + 40.948175698)
    assert told[-1] == 29


def test_a_recorded_stream_that_ends_too_early_is_never_an_answer() -> None:
    body = recorded("chat_stream").body.rstrip()
    for end in range(len(body)):
        with pytest.raises(Unreadable):
            ollama_chat.read_stream(body[:end])
    assert ollama_chat.read_stream(body).text


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        (b'{"message":{"content":"The"},"done":false}\n{"error":"llama runner process has terminated"}\n', ServerError),
        (b'{"error":"llama runner process has terminated"}\n', ServerError),
        (b'{"error":"invalid JSON schema in format"}\n', Rejected),  # nothing was run
    ],
)
async def test_an_error_in_a_stream_is_told_from_a_refusal(
    body: bytes, meaning: type[ProviderError], replay: Start, ask: Ask
) -> None:
    server = await replay(Response(body, kind="application/x-ndjson"))
    provider = OllamaProvider((server.url,))
    with pytest.raises(meaning) as caught:
        await provider.chat(ask(on_tokens=lambda _: None), server.url)
    await provider.aclose()
    assert type(caught.value) is meaning


async def test_an_error_in_an_answer_with_status_200_is_the_servers(replay: Start, ask: Ask) -> None:
    server = await replay(Response(b'{"error":"llama runner process has terminated"}'))
    provider = OllamaProvider((server.url,))
    with pytest.raises(ServerError, match="runner process has terminated"):
        await provider.chat(ask(), server.url)
    await provider.aclose()


@pytest.mark.parametrize(
    "vectors",
    ["[[1,0]]", "[[1,0],[0,0]]", "[[1,0],[1,0,0]]", '[[1,0],["a"]]', "[[1,0],3]", "null"],
    ids=["too few", "no direction", "other length", "no number", "no vector", "none"],
)
async def test_vectors_against_the_protocol_are_unreadable(vectors: str, replay: Start) -> None:
    server = await replay(Response(f'{{"embeddings":{vectors}}}'.encode()))
    provider = OllamaProvider((server.url,))
    with pytest.raises(Unreadable):
        await provider.embed(EmbedCall("m", ("a", "b"), 5.0), server.url)
    await provider.aclose()


async def test_a_vector_of_another_length_is_made_unit(replay: Start) -> None:
    server = await replay(Response(b'{"embeddings":[[3,4]],"prompt_eval_count":1,"total_duration":500000000}'))
    provider = OllamaProvider((server.url,))
    answer = await provider.embed(EmbedCall("m", ("a",), 5.0), server.url)
    await provider.aclose()
    assert (answer.vectors, answer.spent.gpu_seconds) == (((0.6, 0.8),), 0.5)


async def test_half_a_surrogate_pair_is_refused_before_anything_is_sent(replay: Start, ask: Ask) -> None:
    server = await replay("chat_nostream")
    provider = OllamaProvider((server.url,))
    with pytest.raises(Rejected, match="JSON"):
        await provider.chat(ask("half \ud800"), server.url)
    await provider.aclose()
    assert server.requests == []


async def test_nodes_are_named_without_a_password_and_without_a_slash() -> None:
    provider = OllamaProvider(("http://me:secret@gpu-1:11434/", "gpu-2:11434"))
    assert provider.nodes() == ("http://gpu-1:11434", "http://gpu-2:11434")
    await provider.aclose()


async def test_a_user_and_a_password_in_an_address_are_sent_as_a_header_and_never_shown(
    replay: Start, ask: Ask
) -> None:
    server = await replay("chat_nostream")
    provider = OllamaProvider((server.url.replace("//", "//me:s%20t@"),))
    assert provider.nodes() == (server.url,)
    await provider.chat(ask(), server.url)
    await provider.aclose()
    assert server.requests[0].headers["authorization"] == "Basic bWU6cyB0"


async def test_models_are_those_of_all_nodes_that_answer(replay: Start, ask: Ask) -> None:
    """One node is dead, one has `smol`, one has the double's models; an unknown one is answered with all of them."""
    server = await replay("err_missing_model_chat", tags="tags")
    async with await fake_server.start(models=("big:latest",)) as double:
        provider = OllamaProvider((server.url, double.url, "http://127.0.0.1:9"))
        assert await provider.models() == ("big:latest", "smol:latest")
        with pytest.raises(ModelNotFound, match="big:latest, smol:latest"):
            await provider.chat(ask(model="nope"), server.url)
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
            await provider.chat(ask(model="big"), "http://127.0.0.1:9")
        await provider.aclose()


async def test_a_node_at_a_link_local_address_is_not_called(ask: Ask) -> None:
    """It says which setting would allow it; a name that leads there is judged the same way (`test_images`)."""
    at = "http://169.254.169.254"
    provider = OllamaProvider((at,))
    with pytest.raises(Refused, match="GENAI_OUTBOUND_ALLOW") as refusal:
        await provider.chat(ask(), at)
    shelf = await provider.shelf()
    await provider.aclose()
    assert (refusal.value.maybe_paid, refusal.value.another_try_may_help) == (False, False)
    assert "GENAI_OUTBOUND_ALLOW" in shelf.away[0]


async def test_a_dead_pool_has_no_models() -> None:
    provider = OllamaProvider(("http://127.0.0.1:9",))
    assert await provider.models() == ()
    await provider.aclose()


async def test_the_shelf_says_what_is_loaded_and_which_node_is_away(replay: Start) -> None:
    server = await replay("err_404_path", tags="tags", ps="ps_loaded")
    nobody = "http://127.0.0.1:1"
    provider = OllamaProvider((server.url, nobody))  # type: ignore[attr-defined]
    try:
        shelf = await provider.shelf()
    finally:
        await provider.aclose()
    assert shelf.models == (Model("smol:latest", "chat", True, 4096),)
    assert [nobody in why for why in shelf.away] == [True]


async def test_what_is_no_list_of_models_is_an_empty_shelf(replay: Start) -> None:
    server = await replay("err_404_path")
    provider = OllamaProvider((server.url,))  # type: ignore[attr-defined]
    try:
        assert (await provider.shelf()).models == ()
    finally:
        await provider.aclose()
