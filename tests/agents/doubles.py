"""A model that says what a test wrote down for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson

from agents.base import NO_MORE, More
from prompts import Library, Rendered
from providers.base import Traits
from providers.calls import ChatAnswer, EmbedAnswer, Judged, Message, ModerateAnswer, Spent
from providers.errors import ProviderError


@cache
def library() -> Library:
    return Library.load()


@dataclass(frozen=True)
class Asked:
    """One chat call as the operation made it."""

    messages: tuple[Message, ...]
    prompt: Rendered | None
    schema: dict[str, Any] | None
    max_tokens: int | None
    more: More = NO_MORE


def cut(text: str) -> ChatAnswer:
    """An answer that `max_tokens` ended."""
    return ChatAnswer(text, "length", Spent())


def said(answer: Any) -> ChatAnswer:
    """An answer as text; what is no text becomes JSON."""
    if isinstance(answer, ChatAnswer):
        return answer
    return ChatAnswer(answer if isinstance(answer, str) else orjson.dumps(answer).decode(), "stop", Spent())


@dataclass
class ScriptedCaller:
    """A `Caller` that gives `answers` in their order (an error is raised), and vectors from `meanings`; it keeps what it was asked."""

    answers: Sequence[Any] = ()
    meanings: dict[str, tuple[float, ...]] = field(default_factory=dict)
    library: Library = field(default_factory=library)
    pinned: str | None = None
    traits: Traits = field(default_factory=lambda: Traits(paid=False))
    chats: list[Asked] = field(default_factory=list)
    embeds: list[tuple[str, ...]] = field(default_factory=list)
    verdicts: tuple[Judged, ...] | None = None
    """Of a model that is made for moderation."""
    moderated: list[tuple[str, ...]] = field(default_factory=list)
    dimensions: list[int | None] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def render(self, slug: str, **variables: Any) -> Rendered:
        return self.library.render(slug, **variables)

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        prompt: Rendered | None = None,
        schema: dict[str, Any] | None = None,
        max_tokens: int | None = None,
        more: More = NO_MORE,
    ) -> ChatAnswer:
        self.chats.append(Asked(tuple(messages), prompt, schema, max_tokens, more))
        answer = self.answers[len(self.chats) - 1]
        if isinstance(answer, ProviderError):
            raise answer
        return said(answer)

    async def embed(self, texts: Sequence[str], *, dimensions: int | None = None) -> EmbedAnswer:
        self.embeds.append(tuple(texts))
        self.dimensions.append(dimensions)
        return EmbedAnswer(tuple(self.meanings.get(text, (1.0, 0.0)) for text in texts), Spent())

    async def moderate(self, texts: Sequence[str]) -> ModerateAnswer | None:
        self.moderated.append(tuple(texts))
        return None if self.verdicts is None else ModerateAnswer(self.verdicts, Spent())

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)
