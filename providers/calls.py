"""What goes over the port to a model: messages, calls, and what answers to them hold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

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
    """A function that the model may ask for. `parameters`: a JSON Schema of an object; None: it takes none. `kept`: as in `Kept`,
    for the tools up to this one.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    kept: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """The prompt up to this block is to be kept ready by the provider: it changes what the next call costs, and no answer.

    `block`: a part of its message, or the text where it has no parts, then each tool call, by number. `ttl`: `5m` or `1h`; empty:
    as long as the provider will.
    """

    block: int
    ttl: str = ""


@dataclass(frozen=True, slots=True)
class Forced:
    """The model must ask for this very tool."""

    name: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat. `content` is all of its text; `parts`, where there is more than text, the same in its order, and also
    where the blocks of a text are to stay apart since some are `kept`.

    `tool_calls`: what the assistant asked for in this turn; `tool_call_id`: which of them this `tool` turn answers.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    parts: tuple[str | Image, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    kept: tuple[Kept, ...] = ()

    def pictured(self) -> bool:
        """Whether it holds more than text."""
        return any(isinstance(part, Image) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer while it is made. `tool_calls`: by their number, pieces of arguments to be joined; the first piece
    of each has its id and name. `logprobs`: of this piece, as in `ChatAnswer`. `prompt`: on the first one, what the prompt came
    to, of a provider that counts it before it answers.
    """

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[tuple[int, ToolCall], ...] = ()
    logprobs: tuple[dict[str, Any], ...] = ()
    prompt: "Spent | None" = field(default=None, compare=False)


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
    them: a provider that counts them apart adds them up. `cache_write_1h_tokens`, to be kept for an hour, are a part of
    `cache_write_tokens` that costs more. `reasoning_tokens` are a part of `output_tokens`. `tier`: the service
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
    cache_write_1h_tokens: int = 0


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


def not_kept(call: ChatCall) -> ChatCall:
    """The same for a provider that is not asked to keep anything: texts are whole again."""
    turns = tuple(
        replace(turn, kept=(), parts=turn.parts if turn.pictured() else ()) if turn.kept or turn.parts else turn
        for turn in call.messages
    )
    return replace(call, messages=turns, tools=tuple(replace(tool, kept=None) for tool in call.tools))


def messages(system: str | None, turns: Sequence[tuple[Literal["user", "assistant"], str]]) -> tuple[Message, ...]:
    """A system text, if any, and turns, as messages."""
    first = (Message("system", system),) if system else ()
    return first + tuple(Message(role, content) for role, content in turns)
