"""Keys of providers are nowhere: not in errors, results, metrics, logs or lists, whatever a server does with what it was sent."""

import asyncio
import base64
import io
import logging
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
import structlog
from pydantic import SecretStr

from providers import PROVIDERS
from providers.base import Provider
from providers.calls import ChatCall, EmbedCall, Message
from providers.double.http1 import Connection, Request, Response
from providers.errors import ProviderError
from streams import logging as ours
from streams.providing import make_providers
from streams.settings import Settings
from tests.streams.webs import client, opened, web_settings

MARK = "sk-geheim0123456789"
BASIC = base64.b64encode(f"me:{MARK}".encode()).decode()
ASKED = sorted({*PROVIDERS, "vllm"} - {"local"})
"""`local` speaks to nobody; `vllm` is one of GENAI_COMPATIBLE."""


def tells(words: str) -> bool:
    """Also as a header carries a user and a password."""
    return MARK in words or BASIC in words


class Echo:
    """Says back what it was sent, its headers first, in all ways in which servers fail."""

    def __init__(self) -> None:
        self.url = ""
        self.how = "401"
        self.seen = 0

    def received(self, connection: Connection, request: Request) -> None:
        self.seen += tells(str(request.headers))
        told = f"you sent {request.headers} to {request.path}?{request.query}"
        shaped = orjson.dumps({"error": {"message": told, "type": told}} if self.how.endswith("o") else {"error": told})
        if self.how == "cut":
            connection.spoil(Response(shaped).encode()[:-5], then="close")
        elif self.how == "sse":
            begun = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\ndata: '
            connection.answer(Response(begun + shaped + b"\n\n", 200, "text/event-stream"))
        elif self.how == "text":
            connection.answer(Response(told.encode(), 200, "text/plain"))
        else:
            connection.answer(Response(shaped, int(self.how[:3])))

    def left(self, connection: Connection) -> None: ...


HOWS = ("200", "200o", "400", "400o", "401", "403o", "404", "429", "500", "500o", "503", "text", "sse", "cut")


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    made = Echo()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(made), "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that is logged, by us and by what we use, from `debug` on."""
    stream = io.StringIO()
    root, level = logging.getLogger(), logging.getLogger().level
    handlers = list(root.handlers)
    ours.configure("debug", "json", stream)
    root.setLevel(logging.DEBUG)
    yield stream
    root.setLevel(level)
    root.handlers[:] = handlers
    structlog.reset_defaults()


def marked(echo: Echo) -> dict[str, Any]:
    """Every setting that is a provider's key or address: the key is the marked one, and so is the password in an address."""
    addressed = echo.url.replace("//", f"//me:{MARK}@")
    found: dict[str, Any] = {"bedrock_region": "eu-central-1"}
    found["compatible"] = {"vllm": {"base_url": echo.url, "api_key": MARK}}
    for name, field in Settings.model_fields.items():
        kinds = {field.annotation, *get_args(field.annotation)}
        if SecretStr in kinds and not name.startswith(("api_", "kafka_", "redis_")):
            found[name] = SecretStr(MARK)
        elif name.endswith("_url") and name not in {"database_url", "redis_url"}:
            keyless = f"{name.removesuffix('_base_url').removesuffix('_url')}_api_key" not in Settings.model_fields
            found[name] = addressed if keyless else echo.url
        elif name.endswith("_region"):
            found[name] = "eu-central-1"
    return found


@pytest.fixture(autouse=True)
def chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a cloud's own chain of credentials would find."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, MARK)


async def _failures(provider: Provider, model: str) -> AsyncIterator[BaseException]:
    node = provider.nodes()[0]
    turns = (Message("user", "hello"),)
    for work in (
        lambda: provider.chat(ChatCall(model, turns, 2.0, tag="r"), node),
        lambda: provider.chat(ChatCall(model, turns, 2.0, on_delta=lambda _: None), node),
        lambda: provider.embed(EmbedCall(model, ("hello",), 2.0), node),
    ):
        try:
            await work()
        except ProviderError as error:
            yield error


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", ASKED)
async def test_no_failure_of_a_provider_tells_its_key(
    name: str, how: str, echo: Echo, logged: io.StringIO, tmp_path: Path
) -> None:
    """Neither its words nor its details, nor the traceback with all that caused it."""
    echo.how = how
    made = make_providers(web_settings(tmp_path, **marked(echo)))
    try:
        failures = [error async for error in _failures(made[name], "some-model")]
        named = await made[name].models()
    finally:
        for provider in made.values():
            await provider.aclose()
    assert failures
    assert echo.seen, "the key was never sent: this test would see nothing"
    for error in failures:
        told = "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))
        assert not tells(told), told
    assert not tells(str(named) + str(made[name].nodes()) + logged.getvalue())


@pytest.mark.parametrize("how", ["401", "200", "500o"])
async def test_nothing_that_a_user_sees_tells_a_key(how: str, echo: Echo, logged: io.StringIO, tmp_path: Path) -> None:
    echo.how = how
    seen: list[str] = []
    settings = web_settings(tmp_path, **marked(echo), max_attempts=1)
    async with opened(settings) as (front, _), client(front) as api:
        for name in ASKED:
            asked = {"prompt": "hello", "options": {"provider": name, "model": "some-model"}}
            seen.append((await api.post("/v1/complete?wait=20", json=asked)).text)
        for path in ("/v1/models", "/metrics", "/health", "/ready", "/v1/requests", "/v1/costs", "/v1/queue"):
            seen.append((await api.get(path)).text)
    assert echo.seen
    assert not tells("".join(seen) + logged.getvalue())
