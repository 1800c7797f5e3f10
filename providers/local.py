"""The models in this process: `smollm2-135m` chats, `all-minilm-l6-v2` embeds. No server, no key, no GPU.

Models run in threads and let go of the GIL, so the event loop goes on. A slot is a thread; its node is this machine, as two
processes on one machine share its cores.
"""

import asyncio
import os
import platform
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from providers import able, tokens
from providers.base import Able, Model, Shelf, Traits
from providers.calls import ChatAnswer, ChatCall, EmbedAnswer, EmbedCall, Kind, Spent
from providers.config import Config
from providers.embedded import llama, minilm, wheels
from providers.errors import ModelNotFound, TimedOut, Unsupported

_T = TypeVar("_T")

_MODELS: dict[str, tuple[Kind, tuple[tuple[str, str], ...]]] = {
    llama.NAME: ("chat", (llama.FILE,)),
    minilm.NAME: ("embed", (minilm.MODEL_FILE, minilm.TOKENIZER_FILE)),
}

_BATCH = 16
"""Texts of one run: at 256 tokens about a second, after which other calls have their turn and a cancel is seen."""

_CHATS = Able(
    chat=True,
    embed=False,
    schema=True,
    tools=False,  # its template has no place for them
    images=False,
    logprobs=True,
    params=frozenset(llama.PARAMS),
    context_tokens=llama.CONTEXT,
)
_EMBEDS = Able(
    chat=False,
    embed=True,
    schema=False,
    tools=False,
    images=False,
    logprobs=False,
    context_tokens=minilm.CONTEXT,
)
_UNKNOWN = Able(params=_CHATS.params)
"""Of a name that is none: it is asked, and says so."""

_SURELY_TOO_LONG = 4
"""A prompt guessed to be so many times the context is refused by the guess; a nearer one is counted by the model."""


class LocalProvider:
    """Loads a model at its first call. Its chat model cannot classify (2 of 8 right), its embedding model can (8 of 8)."""

    name = "local"
    traits = Traits(
        on_cpu=True,
        paid=False,
        classify_by_embedding=True,
        context_tokens=llama.CONTEXT,
        embed_context_tokens=minilm.CONTEXT,
    )

    def __init__(self, *, slots: int = 1, threads: int = 0) -> None:
        """`threads` 0: all cores but one."""
        count = threads or max(1, (os.cpu_count() or 1) - 1)
        self._slots = slots
        self._llama = llama.Llama(slots=slots, threads=count)
        self._minilm = minilm.MiniLM(threads=count)
        self._chats = ThreadPoolExecutor(slots, thread_name_prefix="smollm2")
        self._embeds = ThreadPoolExecutor(1, thread_name_prefix="minilm")
        self._closed = threading.Event()

    def nodes(self) -> tuple[str, ...]:
        return (platform.node() or "localhost",)

    def slots(self, node: str, model: str) -> int:  # noqa: ARG002 - the port's
        return 1 if model == minilm.NAME else self._slots

    def default_model(self, kind: Kind) -> str:
        return llama.NAME if kind == "chat" else minilm.NAME

    async def models(self) -> tuple[str, ...]:
        """Those whose files are installed."""
        return tuple(name for name, (_, files) in _MODELS.items() if all(wheels.find(*file) for file in files))

    async def shelf(self) -> Shelf:
        """`loaded`: by this process."""
        known = {
            llama.NAME: Model(llama.NAME, "chat", self._llama.is_loaded, llama.CONTEXT),
            minilm.NAME: Model(minilm.NAME, "embed", self._minilm.is_loaded, minilm.CONTEXT),
        }
        return Shelf(tuple(known[name] for name in await self.models()), whole=True)

    def able(self, model: str) -> Able:
        return _EMBEDS if model == minilm.NAME else _CHATS if model in _MODELS else _UNKNOWN

    async def chat(self, call: ChatCall, node: str) -> ChatAnswer:  # noqa: ARG002 - it has one node
        _check(call.model, "chat")
        able.check(call, _CHATS)
        if any(message.name for message in call.messages):
            raise Unsupported(f"`{call.model}` has no place for a turn's `name`. Leave it out.", {"fields": ["name"]})
        guess = sum(tokens.estimate(message.content, llama.CONTEXT * _SURELY_TOO_LONG) for message in call.messages)
        if guess > llama.CONTEXT * _SURELY_TOO_LONG:
            raise llama.too_long(guess, llama.CONTEXT, "about ")
        left = threading.Event()

        def stopped() -> bool:
            return left.is_set() or self._closed.is_set()

        try:
            return await _within(call.timeout_s, self._chats, lambda: self._llama.chat(call, stopped))
        finally:
            left.set()

    async def embed(self, call: EmbedCall, node: str) -> EmbedAnswer:  # noqa: ARG002 - it has one node
        _check(call.model, "embed")
        able.check(call, _EMBEDS)
        try:
            async with asyncio.timeout(call.timeout_s):
                return await self._embed(call.texts)
        except TimeoutError:
            raise TimedOut(f"{minilm.NAME} gave no whole answer within {call.timeout_s:g} s.") from None

    async def aclose(self) -> None:
        """Stops what runs, and waits for it."""
        self._closed.set()
        for threads in (self._chats, self._embeds):
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)

    async def _embed(self, texts: tuple[str, ...]) -> EmbedAnswer:
        """In batches of texts of about the same length, in one thread: calls take turns, batch by batch."""
        loop = asyncio.get_running_loop()
        encoded: list[list[int]] = []
        for start in range(0, len(texts), _BATCH):
            part = texts[start : start + _BATCH]
            encoded += await loop.run_in_executor(self._embeds, self._minilm.encode, part)
        by_length = sorted(range(len(texts)), key=lambda index: len(encoded[index]))
        vectors: list[tuple[float, ...]] = [()] * len(texts)
        for start in range(0, len(texts), _BATCH):
            chosen = by_length[start : start + _BATCH]
            batch = [encoded[index] for index in chosen]
            made = await loop.run_in_executor(self._embeds, self._minilm.vectors, batch)
            for index, vector in zip(chosen, made, strict=True):
                vectors[index] = vector
        return EmbedAnswer(tuple(vectors), Spent(sum(map(len, encoded))))


async def _within(timeout_s: float, threads: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
    """Given up, the thread goes on until it sees that; the caller does not wait for it."""
    try:
        async with asyncio.timeout(timeout_s):
            return await asyncio.get_running_loop().run_in_executor(threads, work)
    except TimeoutError:
        raise TimedOut(f"{llama.NAME} gave no whole answer within {timeout_s:g} s.") from None


def _check(model: str, kind: Kind) -> None:
    """Raises ModelNotFound, Unsupported."""
    names = list(_MODELS)
    if model not in _MODELS:
        known = {"model": model, "models": names}
        raise ModelNotFound(f"There is no local model `{model}`; there are {' and '.join(names)}.", known)
    if _MODELS[model][0] != kind:
        other = next(name for name in names if name != model)
        raise Unsupported(f"`{model}` does not support {kind}; `{other}` does.")


def make(config: Config) -> LocalProvider:
    return LocalProvider(slots=config.local_slots, threads=config.local_threads)
