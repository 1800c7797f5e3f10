"""Our requests' ids leave for servers of one's own, and for nobody else's."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from providers import fake
from providers.anthropic import AnthropicProvider
from providers.bedrock import BedrockProvider
from providers.calls import ChatCall, Message
from providers.config import Server
from providers.double.http1 import Response
from providers.errors import ProviderError
from providers.ollama import OllamaProvider
from providers.openai import OpenAIProvider
from providers.outbound import listed
from providers.tagging import EVERYWHERE, HEADER, HERE, Tags

pytestmark = pytest.mark.fast

MAKES: dict[str, Callable[[str, Tags], Any]] = {
    "openai": lambda url, tags: OpenAIProvider(Server("x", (f"{url}/v1",), key="sk-123456"), tags=tags),
    "anthropic": lambda url, tags: AnthropicProvider("sk-123456", url, tags=tags),
    "bedrock": lambda url, tags: BedrockProvider("eu-central-1", url=url, key="ABSK-123456", tags=tags),
    "ollama": lambda url, tags: OllamaProvider((url,), tags=tags),
    "the double": lambda url, _: fake.at_server(url),
}


@pytest.mark.parametrize("name", MAKES)
async def test_a_server_elsewhere_is_told_no_id_unless_it_is_listed(
    name: str, replay: Callable[..., Awaitable[Any]]
) -> None:
    """By 0.0.0.0 this machine is reached too, and it is no loopback address."""
    server = await replay(Response(b"{}", 500))
    far = server.url.replace("127.0.0.1", "0.0.0.0")
    for url, tags in ((far, HERE), (far, Tags(listed(["0.0.0.0/32"]))), (server.url, HERE)):
        provider = MAKES[name](url, tags)
        with contextlib.suppress(ProviderError):
            await provider.chat(ChatCall("m", (Message("user", "x"),), 5.0, tag="r\xe9/1"), provider.nodes()[0])
        await provider.aclose()
    seen = [request.headers.get(HEADER) for request in server.requests if request.method == "POST"]
    assert seen == ["r\\xe9/1" if name == "the double" else None, "r\\xe9/1", "r\\xe9/1"]


@pytest.mark.parametrize(
    ("tags", "base", "sees"),
    [
        (HERE, "http://127.0.0.1:11434", True),
        (HERE, "http://127.8.0.1", True),
        (HERE, "http://[::1]:8000/v1", True),
        (HERE, "http://localhost:8000", True),
        (HERE, "https://api.openai.com/v1", False),
        (HERE, "https://localhost.example.org", False),
        (HERE, "http://10.0.0.7:11434", False),  # a private network may be somebody else's
        (HERE, "http://[broken", False),
        (Tags(listed(["10.0.0.0/8", ".lan"])), "http://10.0.0.7:11434", True),
        (Tags(listed(["10.0.0.0/8", ".lan"])), "http://gpu-1.lan:11434", True),
        (Tags(listed(["10.0.0.0/8", ".lan"])), "https://api.anthropic.com", False),
        (EVERYWHERE, "http://double:11500", True),
    ],
)
def test_whose_server_it_is(tags: Tags, base: str, sees: bool) -> None:
    assert bool(tags.headers(base, "r1")) == sees
    assert tags.headers(base, "") == {}
