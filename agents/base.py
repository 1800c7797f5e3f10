"""What an operation is: a plain async function from its input to its output, given a way to call a model.

An operation never sees Kafka, a database or a provider: only a `Caller`, which bills, numbers and records each call.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from prompts import Library, Preferences, Rendered
from providers.base import Traits
from providers.calls import ChatAnswer, EmbedAnswer, Forced, Kind, Message, ModerateAnswer, Tool
from schemas.errors import ErrorType, Failure


@dataclass(frozen=True, slots=True)
class More:
    """What else may be wished of a chat, as `providers.calls.ChatCall` says it."""

    stop: tuple[str, ...] = ()
    seed: int | None = None
    temperature: float | None = None
    """Where the request's own options say none."""
    json_mode: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: Literal["auto", "none", "required"] | Forced | None = None
    parallel_tool_calls: bool | None = None
    logprobs: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    ours: bool = False
    """A question of the spine's own, for which the request's options say nothing."""


NO_MORE = More()


class Caller(Protocol):
    """One request's way to its model. Each call is numbered, in the order in which it is made, and billed once.

    A call that an earlier attempt of this request has already paid for, with the same number and the same input, is
    answered from the ledger. So an operation must make the same calls in the same order when it is run again.
    Raises `ProviderError`, which an operation lets pass.
    """

    traits: Traits
    library: Library
    pinned: str | None
    """The wordings that the request was accepted with, as `schemas.pin` writes them; what this operation's `pin` said goes first."""

    def render(self, slug: str, **variables: Any) -> Rendered:
        """A library prompt with its variables filled in; in the words that were pinned, where an operator has his own."""

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        prompt: Rendered | None = None,
        schema: dict[str, Any] | None = None,
        max_tokens: int | None = None,
        more: More = NO_MORE,
    ) -> ChatAnswer:
        """One completion. `max_tokens` is the operation's wish; the request's own option, if any, goes first."""

    async def embed(self, texts: Sequence[str], *, dimensions: int | None = None) -> EmbedAnswer: ...

    async def moderate(self, texts: Sequence[str]) -> ModerateAnswer | None:
        """What the model finds in each text; None, and no call: it is not made for that, so it can only be asked by a prompt."""

    def warn(self, text: str) -> None:
        """A sentence for the result's `warnings`."""


@dataclass(frozen=True, slots=True)
class Whose:
    """Of whom a request is, and what keeps its choices: the same `sticky` is always given the same arm of an experiment. It is the
    record's key, else the request's id.
    """

    tenant: str = ""
    sticky: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One line of the table of contents. `kind` says which default model a request without one gets.

    `check` raises `InvalidInput` for what the input's schema cannot see, so that it is answered before any call. `pin` may
    raise it too; what it returns is kept with the request and stands in `Caller.pinned` whenever it is run.
    """

    name: str
    input: type[BaseModel]
    output: type[BaseModel]
    run: Callable[[Any, Caller], Awaitable[BaseModel]]
    kind: Kind = "chat"
    check: Callable[[Any], None] | None = None
    may_embed: bool = False
    pin: Callable[[Any, Library, Whose], str] | None = None
    prefers: Callable[[str, Library], Preferences] | None = None
    """What a request that does not say gets, by what was pinned."""
    wordings: tuple[str, ...] = ()
    """The library's prompts by which it asks. Where an operator has put a label on another version of one, that one is pinned."""
    early: bool = True
    """It may be begun before its request is accepted, and be forgotten and begun anew: nothing that it does before its first
    call is seen by anybody.
    """
    own_wording: bool = False
    """The caller words the question, and may put it again for another version of the answer."""
    wants: Callable[[Any], Sequence[str]] = lambda _: ()
    """What its calls ask of a model beyond words, in the words of `providers.able`, as far as the input says."""
    moderates: bool = False
    """A model that is made for moderation can do it, whatever else it cannot."""
    tokens: Callable[[Any], int | None] = lambda _: None
    """What its one call reads, guessed; None: what is too long is read in parts."""

    def kind_with(self, traits: Traits) -> Kind:
        """Which kind of model it calls there: classify embeds where the chat model cannot classify."""
        return "embed" if self.may_embed and traits.classify_by_embedding else self.kind


class OperationError(Exception):
    """The operation could not give an answer although the model was reached; `failure` says why, in the contract's words."""

    type = ErrorType.INTERNAL

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.failure = Failure(type=self.type, message=message, details=details)


class InvalidAnswer(OperationError):
    """The model's answer did not have the form asked for, and not after one repair either."""

    type = ErrorType.INVALID_ANSWER


class NotHere(OperationError):
    """What the request was accepted with is not here any more; deploy it again, or send the request again."""


class InvalidInput(OperationError):
    """The input asks for something that cannot be done, found only while doing it."""

    type = ErrorType.INVALID_REQUEST
