"""The port to a model, and its errors.

ProviderError
├── NotRun                  surely not executed, surely not paid
│   ├── Unreachable         no connection: another node, now
│   ├── Overloaded          the server's queue is full: another node, now
│   ├── RateLimited         asked to wait: after `retry_after_s`
│   └── Rejected            will be refused again: never retried
│       ├── ModelNotFound
│       ├── ContextTooLong
│       ├── Unsupported     the model cannot do this (tools, embeddings)
│       └── Refused         no key, a wrong key, a policy
└── Broken                  may have been executed, may have been paid
    ├── TimedOut            no (whole) answer in time
    ├── Disconnected        the connection ended inside the answer
    ├── ServerError         the server says that it failed (5xx)
    └── Unreadable          an answer that is not what the protocol promises

An error says two things to whoever decides: `maybe_paid`, and `another_try_may_help`. Its message is shown to users.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from schemas.errors import ErrorType

Kind = Literal["chat", "embed"]


@dataclass(frozen=True, slots=True)
class Image:
    """A picture in a message: an https or a data URL. `detail`: how closely the model looks, in OpenAI's words."""

    url: str
    detail: Literal["auto", "low", "high"] | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks to run a tool. `arguments`: JSON as the model wrote it, perhaps broken."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask for. `parameters`: a JSON Schema of an object; None: it takes none."""

    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Forced:
    """The model must ask for this very tool."""

    name: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat. `content` is all of its text; `parts`, where there is more than text, the same in its order.

    `tool_calls`: what the assistant asked for in this turn; `tool_call_id`: which of them this `tool` turn answers.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    parts: tuple[str | Image, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer while it is made. `tool_calls`: by their number, pieces of arguments to be joined; the first piece
    of each has its id and name. `logprobs`: of this piece, as in `ChatAnswer`.
    """

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[tuple[int, ToolCall], ...] = ()
    logprobs: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ChatCall:
    """One chat completion. `schema` is a JSON Schema that the provider's own structured mode must enforce.

    What a provider cannot pass on it refuses with `Unsupported`, which names it in OpenAI's word; it never drops anything.
    """

    model: str
    messages: tuple[Message, ...]
    timeout_s: float
    schema: dict[str, Any] | None = None
    json_mode: bool = False
    """Any JSON object, where there is no schema."""
    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: Literal["auto", "none", "required"] | Forced | None = None
    parallel_tool_calls: bool | None = None
    logprobs: int | None = None
    """Log probabilities of the tokens and of so many others at each place, 0 to 20; None: not asked for."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Further wishes under OpenAI's names: those of `schemas.chat.Params` that were set."""
    tag: str = ""
    """The request's id, sent as a header to servers of the operator's own, so that they can count calls by request."""
    on_tokens: Callable[[int], None] | None = field(default=None, compare=False, repr=False)
    """Told, now and then while the answer is made, about how many tokens it has so far; perhaps from another thread, so it
    must return at once and raise nothing. The answer is the same with it and without."""
    on_delta: Callable[[Delta], None] | None = field(default=None, compare=False, repr=False)
    """Told each piece as it comes, from the first token on, in order, under the same terms. Somebody reads along: joined, the
    pieces are the answer's text, tool calls and log probabilities. None: nobody does, and pieces need not be parsed.
    """


@dataclass(frozen=True, slots=True)
class EmbedCall:
    """Embeddings of `texts`, in their order. `dimensions`: shorter ones, where the model can."""

    model: str
    texts: tuple[str, ...]
    timeout_s: float
    dimensions: int | None = None
    tag: str = ""


@dataclass(frozen=True, slots=True)
class ModerateCall:
    """Whether `texts`, in their order, hold what should not be said; of a model that is made for that."""

    model: str
    texts: tuple[str, ...]
    timeout_s: float
    tag: str = ""


AnyCall = ChatCall | EmbedCall | ModerateCall


@dataclass(frozen=True, slots=True)
class Spent:
    """What a call used, in the provider's own count; `estimated` where it gave none. `gpu_seconds` where it is known. `load_s`: how
    long the call waited for its model to be loaded, where that is known.

    `cached_tokens` (read from the provider's prompt cache) and `cache_write_tokens` are a part of `input_tokens`, not beside
    them: a provider that counts them apart adds them up. `reasoning_tokens` are a part of `output_tokens`. `tier`: the service
    tier that the provider says it took, where prices hang on it.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    tier: str = ""
    estimated: bool = False
    gpu_seconds: float | None = None
    load_s: float | None = None


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """`finish_reason` is `length` when `max_tokens` cut the text: then JSON in it is not whole.

    `refusal`: what the model says instead of an answer, where its provider tells that apart. `logprobs`: one entry a token, as
    OpenAI's `choices[].logprobs.content`. `model`: which one answered, where the provider says more than it was asked for.
    """

    text: str
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]
    spent: Spent
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None
    reasoning: str | None = None
    logprobs: tuple[dict[str, Any], ...] | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class EmbedAnswer:
    """One unit-length vector per text, in the order of the texts."""

    vectors: tuple[tuple[float, ...], ...]
    spent: Spent


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found in one text: by category whether, and how surely, from 0 to 1."""

    flagged: bool
    categories: dict[str, bool]
    scores: dict[str, float]


@dataclass(frozen=True, slots=True)
class ModerateAnswer:
    """One verdict per text, in the order of the texts."""

    verdicts: tuple[Judged, ...]
    spent: Spent


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
    """The models that can be called now, and a sentence for each node that did not answer."""

    models: tuple[Model, ...]
    away: tuple[str, ...] = ()


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


@dataclass(eq=False)
class ProviderError(Exception):
    """The model gave no usable answer."""

    message: str
    details: dict[str, Any] = field(default_factory=dict)
    retry_after_s: float | None = None
    spent: Spent | None = None
    """What is known to have been used all the same; None: nothing is known."""

    type: ClassVar[ErrorType] = ErrorType.INTERNAL
    maybe_paid: ClassVar[bool] = True
    another_try_may_help: ClassVar[bool] = True

    def __str__(self) -> str:
        return self.message


class NotRun(ProviderError):
    """The call was surely not executed."""

    maybe_paid = False


class Unreachable(NotRun):
    """No connection to the model server. Check that it runs and that its address is right."""

    type = ErrorType.UNREACHABLE


class Overloaded(NotRun):
    """The model server's queue is full."""

    type = ErrorType.OVERLOADED


class RateLimited(NotRun):
    """The provider asks to wait."""

    type = ErrorType.RATE_LIMITED


class Rejected(NotRun):
    """The same call would be refused again."""

    type = ErrorType.INVALID_REQUEST
    another_try_may_help = False


class ModelNotFound(Rejected):
    """The server does not have this model; the message names those that it has."""

    type = ErrorType.MODEL_NOT_FOUND


class ContextTooLong(Rejected):
    """`details` holds `prompt_tokens` and `context_tokens`."""

    type = ErrorType.CONTEXT_TOO_LONG


class Unsupported(Rejected):
    """This model cannot do what was asked of it."""


class Refused(Rejected):
    """The provider refused: a missing or wrong key, or its policy."""

    type = ErrorType.REFUSED


class Broken(ProviderError):
    """The call may have been executed."""


class TimedOut(Broken):
    """No whole answer within `timeout_s`."""

    type = ErrorType.TIMEOUT


class Disconnected(Broken):
    """The connection ended inside the answer."""

    type = ErrorType.UNREACHABLE


class ServerError(Broken):
    """The server says that it failed. Ollama answers so to some calls that it has refused: those are `Rejected`."""

    type = ErrorType.OVERLOADED


class Unreadable(Broken):
    """An answer that is not what the protocol promises."""

    type = ErrorType.INVALID_ANSWER


def messages(system: str | None, turns: Sequence[tuple[Literal["user", "assistant"], str]]) -> tuple[Message, ...]:
    """A system text, if any, and turns, as messages."""
    first = (Message("system", system),) if system else ()
    return first + tuple(Message(role, content) for role, content in turns)
