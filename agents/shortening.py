"""A chat that may be longer than the model's context: asked for as a whole, else without its oldest turns.

The refusal costs nothing and says how long is too long. What a system says stays, and so does all from the user's last turn on.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from providers import tokens
from providers.calls import Message
from providers.errors import ContextTooLong

T = TypeVar("T")

_AROUND = 4
"""Tokens of a chat template around a turn, about."""
_SURE = 0.8
"""The share of what fits that is sent, since tokens are guessed and the answer needs room."""
_UNKNOWN = 0.5


async def ask(
    turns: Sequence[Message], call: Callable[[Sequence[Message]], Awaitable[T]], warn: Callable[[str], None]
) -> T:
    """Each refusal leaves out some more, so this ends. Raises `ContextTooLong` when nothing more can be left out."""
    whole = len(turns)
    while True:
        try:
            answer = await call(turns)
        except ContextTooLong as refusal:
            fewer = shorter(turns, share(refusal))
            if fewer is None:
                raise
            turns = fewer
            continue
        if len(turns) < whole:
            warn(f"truncated: the oldest {whole - len(turns)} turns did not fit the model's context and were left out")
        return answer


def share(refusal: ContextTooLong) -> float:
    """How much of the chat fits."""
    prompt, context = (refusal.details.get(name) for name in ("prompt_tokens", "context_tokens"))
    if isinstance(prompt, int) and isinstance(context, int) and 0 < context < prompt:
        return _SURE * context / prompt
    return _UNKNOWN


def shorter(turns: Sequence[Message], part: float) -> list[Message] | None:
    """About so much of it, at least one turn less; None: what must stay is all that there is."""
    head = next((i for i, turn in enumerate(turns) if turn.role != "system"), len(turns))
    kept, chat = list(turns[:head]), list(turns[head:])
    last = max((i for i, turn in enumerate(chat) if turn.role == "user"), default=0)
    weights = [tokens.weigh(turn.content) + _AROUND for turn in turns]
    room = part * sum(weights) - sum(weights[:head])
    behind = weights[head:]
    # a tool's turn answers a call: without that one it means nothing
    cuts = [i for i in range(1, last + 1) if chat[i].role != "tool"]
    if not cuts:
        return None
    cut = next((i for i in cuts if sum(behind[i:]) <= room), cuts[-1])
    return kept + chat[cut:]
