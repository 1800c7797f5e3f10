"""The shipped test double: a provider without a model, in this process or as a server (`providers.fake_server`).

Seeded: the same calls get the same answers, latencies and failures. `providers/double/faults.py` lists what a prompt can
provoke, such as `[fake:overloaded*1]`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from providers import able
from providers.base import Able, Model, Provider, Shelf, Traits
from providers.calls import ChatAnswer, ChatCall, Delta, EmbedAnswer, EmbedCall, Kind, Spent
from providers.config import Config
from providers.double import answers, replies
from providers.double.counts import Counts, End
from providers.double.faults import FAULTS, STEP_S, Behaviour, Plan, plan
from providers.errors import ContextTooLong, ModelNotFound, ProviderError, TimedOut
from providers.ollama import OllamaProvider
from providers.outbound import NOTHING, Listed
from providers.tagging import EVERYWHERE
from schemas.chat import Params

CHAT_MODEL = "fake"
EMBED_MODEL = "fake-embed"
_CHATS = Able(
    chat=True, embed=False, schema=True, tools=True, images=True, logprobs=True, params=frozenset(Params.model_fields)
)
_EMBEDS = Able(
    chat=False,
    embed=True,
    schema=False,
    tools=False,
    images=False,
    logprobs=False,
    params=frozenset({"dimensions"}),
)
_ABLE = {CHAT_MODEL: _CHATS, EMBED_MODEL: _EMBEDS}
_UNKNOWN = Able(params=_CHATS.params | _EMBEDS.params)
"""Of a name that is none: it is asked, and says so."""


class FakeProvider:
    """`counts` says how often it was called, as the server's `/_counts` does."""

    name = "fake"

    def __init__(self, how: Behaviour, *, slots: int = 4, paid: bool = True) -> None:
        context = how.context_tokens
        self.traits = Traits(paid=paid, context_tokens=context, embed_context_tokens=context)
        self.counts = Counts()
        self._how = how
        self._slots = slots
        self._gate = asyncio.Event()

    def open(self) -> None:
        """Answers that were told to wait at the gate go on, also those to come."""
        self._gate.set()

    def nodes(self) -> tuple[str, ...]:
        return ("in-process",)

    def slots(self, node: str, model: str) -> int:  # noqa: ARG002 - the port's
        return self._slots

    def default_model(self, kind: Kind) -> str:
        return CHAT_MODEL if kind == "chat" else EMBED_MODEL

    async def models(self) -> tuple[str, ...]:
        return (CHAT_MODEL, EMBED_MODEL)

    async def shelf(self) -> Shelf:
        context = self._how.context_tokens
        models = Model(CHAT_MODEL, "chat", True, context), Model(EMBED_MODEL, "embed", True, context)
        return Shelf(models, whole=True)

    def able(self, model: str) -> Able:
        return replace(_ABLE.get(model, _UNKNOWN), context_tokens=self._how.context_tokens)

    async def chat(self, call: ChatCall, node: str) -> ChatAnswer:  # noqa: ARG002 - it has one node
        able.check(call, self.able(call.model))
        texts = tuple(message.content for message in call.messages)
        fate = await self._counted(call, texts, replies.count(call))
        answer = replies.reply(call, self._how.seed, fate)
        return replace(answer, spent=replace(answer.spent, gpu_seconds=fate.delay_s))

    async def embed(self, call: EmbedCall, node: str) -> EmbedAnswer:  # noqa: ARG002 - it has one node
        able.check(call, self.able(call.model))
        longest = max((len(text.split()) for text in call.texts), default=0)
        fate = await self._counted(call, call.texts, longest)
        vectors = tuple(answers.embed(text, call.dimensions) for text in call.texts)
        return EmbedAnswer(vectors, Spent(answers.count(call.texts), gpu_seconds=fate.delay_s))

    async def aclose(self) -> None:
        """Holds nothing."""

    async def _counted(self, call: ChatCall | EmbedCall, texts: tuple[str, ...], length: int) -> Plan:
        """A call that its caller gives up, by a time-out too, is `aborted`, as at the server."""
        nth = self.counts.start(call.tag)
        end: End = "aborted"
        try:
            fate = await self._live(call, texts, length, nth)
            end = "finished"
        except ProviderError as error:
            if not isinstance(error, TimedOut):
                end = "broken" if error.maybe_paid else "refused"
            raise
        finally:
            self.counts.end(call.tag, end)
        return fate

    async def _live(self, call: ChatCall | EmbedCall, texts: tuple[str, ...], length: int, nth: int) -> Plan:
        if call.model not in (CHAT_MODEL, EMBED_MODEL):
            known = {"model": call.model, "models": [CHAT_MODEL, EMBED_MODEL]}
            raise ModelNotFound(f"There is no model `{call.model}`; there are {CHAT_MODEL} and {EMBED_MODEL}.", known)
        if length > self._how.context_tokens:
            raise _too_long(length, self._how.context_tokens)
        fate = plan(self._how, call.tag, nth, texts)
        try:
            async with asyncio.timeout(call.timeout_s):
                await self._work(call, fate)
        except TimeoutError:
            raise TimedOut(f"The double gave no whole answer within {call.timeout_s:g} s.") from None
        if fate.fault is not None:
            raise _error(fate.fault, fate.argument, length, self._how.context_tokens)
        return fate

    async def _work(self, call: ChatCall | EmbedCall, fate: Plan) -> None:
        """Takes the time of the call, and tells whoever wants to be told; of a call that breaks off, its first half."""
        waits = self._gate.wait if fate.gate else None
        if isinstance(call, ChatCall) and _is_told(call, fate):
            await _telling(call, replies.reply(call, self._how.seed, fate), fate, waits)
        else:
            await asyncio.sleep(fate.delay_s)
            if waits is not None:
                await waits()
        if fate.fault is not None and FAULTS[fate.fault].error is TimedOut:
            await asyncio.Event().wait()


def _is_told(call: ChatCall, fate: Plan) -> bool:
    """Of tokens alone, only where there is time for it."""
    return call.on_delta is not None or (call.on_tokens is not None and fate.delay_s >= 2 * STEP_S)


async def _telling(
    call: ChatCall, answer: ChatAnswer, fate: Plan, waits: Callable[[], Awaitable[object]] | None
) -> None:
    """Evenly over the time, as a model does that has read its prompt."""
    pieces = _sent(replies.deltas(answer), fate)
    steps = int(fate.delay_s / STEP_S) if fate.delay_s >= 2 * STEP_S else 1
    told = 0
    for step in range(1, steps + 1):
        await asyncio.sleep(fate.delay_s / steps)
        until = len(pieces) * step // steps
        for piece in pieces[told:until]:
            if call.on_delta is not None:
                call.on_delta(piece)
            if waits is not None:
                await waits()
        told = until
        if call.on_tokens is not None and steps > 1:
            call.on_tokens(answer.spent.output_tokens * step // steps)


def _sent(pieces: list[Delta], fate: Plan) -> list[Delta]:
    """Those that leave the double before it fails."""
    if fate.fault is None:
        return pieces
    return pieces[: len(pieces) // 2] if FAULTS[fate.fault].wire in ("hang midway", "cut") else []


def _error(name: str, argument: float | None, length: int, context: int) -> ProviderError:
    kind = FAULTS[name].error
    if kind is ContextTooLong:
        return _too_long(max(length, context + 1), context)
    wait_s = (1.0 if argument is None else argument) if name.startswith("rate_limited") else None
    return kind(f"The double was told to fail so: {name}.", retry_after_s=wait_s)


def _too_long(length: int, context: int) -> ContextTooLong:
    message = f"The prompt has {length} tokens, the model's context holds {context}."
    return ContextTooLong(message, {"prompt_tokens": length, "context_tokens": context})


def at_server(url: str, *, slots: int = 4, paid: bool = True, outbound: Listed = NOTHING) -> OllamaProvider:
    """The double that runs as a process of its own: reached as Ollama is, counted and priced as `fake`."""
    return OllamaProvider(
        (url,),
        slots=slots,
        gpu_nodes=(url,),
        chat_model=CHAT_MODEL,
        embed_model=EMBED_MODEL,
        name="fake",
        traits=Traits(paid=paid),
        outbound=outbound,
        tags=EVERYWHERE,  # it counts by them
    )


def make(config: Config) -> Provider:
    if config.fake_url is not None:
        return at_server(config.fake_url, slots=config.fake_slots, paid=config.fake_paid, outbound=config.outbound)
    return FakeProvider(config.fake, slots=config.fake_slots, paid=config.fake_paid)
