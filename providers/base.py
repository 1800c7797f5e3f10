"""The port to a model, and what a provider may know or do beside it; `providers.errors` has what it may raise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from providers.calls import ChatAnswer, ChatCall, EmbedAnswer, EmbedCall, Kind, ModerateAnswer, ModerateCall


@dataclass(frozen=True, slots=True)
class Traits:
    """What an operation or the engine must know about a provider before it calls it.

    `paid`: a second call costs money, so an ambiguous one is governed by `on_ambiguous`.
    `on_cpu`: it has no GPU, so a request for one cannot run there.
    `classify_by_embedding`: its chat model cannot classify, its embedding model can (SmolLM2 2/8, MiniLM 8/8).
    `context_tokens`: what its chat models read and write at most in one call; `embed_context_tokens`: what its embedding
    models read. None: not known beforehand; a call that is too long is refused with `ContextTooLong`, which says it.
    """

    paid: bool
    on_cpu: bool = False
    classify_by_embedding: bool = False
    context_tokens: int | None = None
    embed_context_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Able:
    """What one model can do, as its provider knows it; None: it is not known, so a call may try.

    `params`: which of `schemas.chat.Params` its provider passes on, and `dimensions` of embeddings. `output_tokens`: the longest answer.
    `json_mode`: any JSON object, None: as `schema`. `temperature`: another one than 1. `forced_tools`: it may be made to call one,
    `one_tool`: to call one at a time.
    `thinks`: it thinks before it answers, and that counts against `max_tokens`; the room to leave for it, in tokens.
    `moderates`: it is made for that, and its provider is `Moderating`.
    """

    chat: bool | None = None
    embed: bool | None = None
    schema: bool | None = None
    tools: bool | None = None
    images: bool | None = None
    logprobs: bool | None = None
    temperature: bool | None = None
    stop: bool | None = None
    seed: bool | None = None
    params: frozenset[str] = frozenset()
    context_tokens: int | None = None
    output_tokens: int | None = None
    json_mode: bool | None = None
    forced_tools: bool | None = None
    one_tool: bool | None = None
    thinks: int = 0
    moderates: bool = False


@runtime_checkable
class Capable(Protocol):
    """A provider that knows what its models can do, without asking anybody."""

    def able(self, model: str) -> Able: ...


@runtime_checkable
class Counting(Protocol):
    """A provider whose server counts a prompt's tokens, for nothing and without an answer."""

    async def count(self, call: ChatCall, node: str) -> int:
        """Raises ProviderError. Nothing of it is journalled, as nothing of it is paid."""
        ...


@runtime_checkable
class Moderating(Protocol):
    """A provider that may have models which are made for moderation. `moderation_model`: the usual one; empty: it has none."""

    moderation_model: str

    async def moderate(self, call: ModerateCall, node: str) -> ModerateAnswer: ...


@dataclass(frozen=True, slots=True)
class Model:
    """What a provider knows of one of its models; None: it does not say.

    `loaded`: the next call need not wait for it. `context_tokens`: how much a call may hold, prompt and answer together.
    """

    name: str
    kind: Kind | None = None
    loaded: bool | None = None
    context_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Shelf:
    """The models that can be called now, and a sentence for each node that did not answer. `whole`: those that did have no others;
    else names may be known that are not listed, such as aliases.
    """

    models: tuple[Model, ...]
    away: tuple[str, ...] = ()
    whole: bool = False


@runtime_checkable
class Telling(Protocol):
    """A provider that knows more of its models than their names."""

    async def shelf(self) -> Shelf:
        """Never raises `ProviderError`: a node that does not answer within some seconds is `away`."""


@runtime_checkable
class Lacking(Protocol):
    """A provider that may lack what every call of it needs, such as a key."""

    missing: str
    """What is missing and which setting gives it, in a sentence: each call is refused with it. Empty: nothing is."""


@runtime_checkable
class Knowing(Protocol):
    """A provider whose model names may stand for other weights tomorrow, and that sees it."""

    def digest(self, model: str) -> str | None:
        """Of the weights that this name stands for, as they were when it was last seen; None: not seen yet."""


@runtime_checkable
class Placing(Protocol):
    """A provider whose nodes hold only some models at a time: asked for another, they throw one out and load it.

    `holds`: how many, 0 if it may be any number; `gather_s`: how long rows wait before a node throws a model out for them;
    `gpu_nodes`: those of which the settings say that they have a GPU.
    """

    holds: int
    gather_s: float
    gpu_nodes: frozenset[str]

    def nodes(self) -> tuple[str, ...]:
        """As the provider's."""

    async def loaded(self, node: str) -> Mapping[str, bool] | None:
        """The models that it holds now, and whether each has a part on a GPU; None: it does not say. Never raises."""


class Provider(Protocol):
    """One way to reach models. Whoever made it closes it.

    A node is one server that executes calls; its slots are counted by the engine, never by the provider.
    Methods raise `ProviderError` and nothing else, except `asyncio.CancelledError`, on which the connection is closed.
    """

    name: str
    traits: Traits

    def nodes(self) -> tuple[str, ...]:
        """The names of its nodes; at least one."""

    def slots(self, node: str, model: str) -> int:
        """How many calls `node` runs side by side for `model`."""

    def default_model(self, kind: Kind) -> str:
        """The model of a request that names none."""

    async def models(self) -> tuple[str, ...]:
        """What can be called now, for messages about an unknown model. Empty when nobody answers."""

    async def chat(self, call: ChatCall, node: str) -> ChatAnswer: ...

    async def embed(self, call: EmbedCall, node: str) -> EmbedAnswer: ...

    async def aclose(self) -> None: ...


def able_of(provider: Provider, model: str) -> Able | None:
    """What a provider knows that its model can do; None: it knows nothing of that kind."""
    return provider.able(model) if isinstance(provider, Capable) else None
