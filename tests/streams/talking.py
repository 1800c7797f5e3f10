"""A provider that tells its answer piece by piece, as it is told to, and counts who called it and who left."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from providers.base import Able
from providers.calls import ChatAnswer, ChatCall, Delta, EmbedAnswer, EmbedCall, Spent
from providers.double.faults import Behaviour
from providers.errors import Disconnected
from providers.fake import FakeProvider
from schemas.chat import Params
from streams.spine import Spine
from streams.web.openai.answers import Sent

WORDS = tuple(Delta(text=word) for word in ("Fog ", "in ", "Bergen."))


@dataclass
class Talking(FakeProvider):
    """`breaks`: after so many pieces, at that try (from 1). `pause_s` between pieces; `silent`: says nothing before the end."""

    pieces: Sequence[Delta] = WORDS
    breaks: dict[int, int] = field(default_factory=dict)
    pause_s: float = 0.0
    silent: bool = False
    slots_: int = 4
    paid: bool = False
    written: int = 0
    """Tokens of the prompt that were written to a cache."""
    calls: list[ChatCall] = field(default_factory=list)
    told: int = 0
    """Pieces that were made."""
    left: int = 0
    """Calls that were given up."""

    def __post_init__(self) -> None:
        FakeProvider.__init__(self, Behaviour(), slots=self.slots_, paid=self.paid)

    def able(self, model: str) -> Able:
        return Able(schema=True, tools=True, images=True, logprobs=True, params=frozenset(Params.model_fields))

    async def chat(self, call: ChatCall, node: str) -> ChatAnswer:
        self.calls.append(call)
        try:
            told = await self._tell(call, self.breaks.get(len(self.calls)))
        except asyncio.CancelledError:
            self.left += 1
            raise
        joined = Sent()
        for delta in told:
            joined.add(delta)
        tools = tuple(joined.calls.values())
        logprobs = tuple(entry for delta in told for entry in delta.logprobs)
        text = "".join(delta.text for delta in told)
        spent = Spent(7, len(told), 2, self.written, sum(bool(delta.reasoning) for delta in told))
        return ChatAnswer(
            text,
            "tool_calls" if tools else "stop",
            spent,
            tools,
            reasoning="".join(delta.reasoning for delta in told) or None,
            logprobs=logprobs if call.logprobs is not None else None,
        )

    async def _tell(self, call: ChatCall, breaks: int | None) -> Sequence[Delta]:
        for number, delta in enumerate(self.pieces):
            if number == breaks:
                raise Disconnected("the double broke off")
            self.told += 1
            if call.on_tokens is not None:
                call.on_tokens(number + 1)
            if call.on_delta is not None and not self.silent:
                call.on_delta(delta)
            await asyncio.sleep(self.pause_s)
        if breaks is not None and breaks >= len(self.pieces):
            raise Disconnected("the double broke off at its end")
        return self.pieces

    async def embed(self, call: EmbedCall, node: str) -> EmbedAnswer:
        vectors = tuple((0.6, 0.8) + (0.0,) * ((call.dimensions or 2) - 2) for _ in call.texts)
        return EmbedAnswer(vectors, Spent(len(call.texts)))


def seat(spine: Spine, provider: Talking) -> Talking:
    """In the place of the fake one."""
    spine.providers["fake"] = provider
    return provider
