"""The columns of the contract: each provider and how it is reached. A new one that speaks HTTP is a line in `AT_DOUBLE`."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from providers import anthropic, bedrock, fake, fake_server, local, ollama, openai
from providers.base import Able, Capable, Provider
from providers.calls import ChatCall, EmbedCall, Message
from providers.config import Server
from providers.double.faults import Behaviour

CONTEXT = 2000


@dataclass
class Subject:
    """A provider, and what must be known of it to ask it the contract's questions.

    `slow`: a prompt that takes long, by a directive or (the real model) by a long answer. `tells`: which of `refusal`,
    `content_filter` and `reasoning` its format has words for. `secret`: its key, which no error may show.
    `embeds`: it has embeddings.
    """

    provider: Provider
    slow: str = "[fake:sleep:30] a story"
    endless: str = "[fake:gate] Tell me a long story about foxes."
    """It stops after its first piece, or its answer is long."""
    tells: frozenset[str] = frozenset()
    secret: str = "no key at all"
    embeds: bool = True

    @property
    def node(self) -> str:
        return self.provider.nodes()[0]

    def able(self, kind: str = "chat") -> Able:
        assert isinstance(self.provider, Capable)
        return self.provider.able(self.provider.default_model("chat" if kind == "chat" else "embed"))

    def settled(self) -> dict[str, object]:
        """The wishes that leave nothing to chance, as far as the model knows them."""
        able = self.able()
        known = {"temperature": (0.0, able.temperature), "seed": (1, able.seed)}
        return {name: value for name, (value, can) in known.items() if can is not False}

    def call(self, text: str, timeout_s: float = 60.0, **wishes: object) -> ChatCall:
        model = wishes.pop("model", self.provider.default_model("chat"))
        messages = wishes.pop("messages", (Message("user", text),))
        return ChatCall(model, messages, timeout_s, **wishes)  # type: ignore[arg-type]

    def vectors(self, *texts: str, timeout_s: float = 60.0, **wishes: object) -> EmbedCall:
        return EmbedCall(self.provider.default_model("embed"), texts, timeout_s, **wishes)  # type: ignore[arg-type]


Make = Callable[[], AbstractAsyncContextManager[Subject]]

_CLAUDE_TELLS = frozenset({"refusal", "content_filter", "reasoning"})


def _claude(model: str) -> Callable[[str], Subject]:
    return lambda url: Subject(
        anthropic.AnthropicProvider("sk-ant-1234", url, chat_model=model),
        tells=_CLAUDE_TELLS,
        secret="sk-ant-1234",
        embeds=False,
    )


def _bedrock(chat: str, embed: str) -> Callable[[str], Subject]:
    return lambda url: Subject(
        bedrock.BedrockProvider("eu-central-1", url=url, key="ABSK-1234", chat_model=chat, embed_model=embed),
        tells=frozenset({"content_filter"}),
        secret="ABSK-1234",
    )


_KEY = "sk-proj-a-very-secret-key"
_OPENAI = Server("openai", (), key=_KEY, chat_model="fake:latest", embed_model="fake-embed:latest", style="openai")


def _openai(server: Server) -> Subject:
    tells = frozenset({"refusal", "content_filter", "reasoning"})
    return Subject(openai.OpenAIProvider(server), tells=tells, secret=_KEY)


AT_DOUBLE: dict[str, Callable[[str], Subject]] = {
    "fake-server": lambda url: Subject(fake.at_server(url)),
    "anthropic": _claude("claude-sonnet-5-5"),
    "anthropic-older": _claude("claude-opus-4-1"),
    "bedrock": _bedrock("global.anthropic.claude-haiku-4-5-20251001-v1:0", "amazon.titan-embed-text-v2:0"),
    "bedrock-others": _bedrock("amazon.nova-lite-v1:0", "cohere.embed-multilingual-v3"),
    "ollama": lambda url: Subject(ollama.OllamaProvider((url,), num_ctx=2048)),
    "openai": lambda url: _openai(replace(_OPENAI, urls=(f"{url}/v1",))),
    "compatible": lambda url: _openai(replace(_OPENAI, name="vllm", urls=(f"{url}/v1",), style="compatible")),
    "azure": lambda url: _openai(replace(_OPENAI, name="azure", urls=(url,), style="azure", api_version="2024-10-21")),
}
"""A column's name to its provider at the address of the double, which has `fake` and `fake-embed` among its models."""


def _at_double(reach: Callable[[str], Subject]) -> Make:
    @asynccontextmanager
    async def made() -> AsyncIterator[Subject]:
        async with await fake_server.start(how=Behaviour(context_tokens=CONTEXT)) as server:
            subject = reach(server.url)
            yield subject
            await subject.provider.aclose()

    return made


@asynccontextmanager
async def _in_process() -> AsyncIterator[Subject]:
    yield Subject(fake.FakeProvider(Behaviour(context_tokens=CONTEXT)))


@asynccontextmanager
async def _local() -> AsyncIterator[Subject]:
    provider = local.LocalProvider(threads=1)
    yield Subject(provider, slow="Tell me a long story about foxes.", endless="Tell me a long story about foxes.")
    await provider.aclose()


DOUBLES = [
    pytest.param(_in_process, id="fake", marks=pytest.mark.fast),
    *(pytest.param(_at_double(reach), id=name) for name, reach in AT_DOUBLE.items()),
]
"""Those that obey directives."""

SUBJECTS = [*DOUBLES, pytest.param(_local, id="local", marks=pytest.mark.model)]
NAMES = frozenset({"fake", "local", *AT_DOUBLE})
