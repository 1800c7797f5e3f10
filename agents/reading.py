"""Content that may be longer than the model's context: asked for as a whole, else part by part.

Where the provider tells its context, parts are made before the first call. Where it does not, or where the guess of the
tokens was too low, the refusal tells (it costs nothing), and the rest is split anew from the part that was refused.

Parts go one after the other, in the order of the text: each call has the same number and the same words at the next attempt,
so what an earlier one has paid for is taken over from the ledger.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Generic, TypeVar

from agents import splitting
from agents.base import Caller, OperationError
from agents.splitting import Part
from prompts import Rendered
from providers import tokens
from providers.errors import ContextTooLong
from schemas.errors import ErrorType

T = TypeVar("T")

MOST_PARTS = 64
"""Calls that one text may cost; a longer text is refused before the first of them."""
LEAST_ROOM = 32
"""Tokens; a part below this says nothing."""
_SURE = 0.85
"""The share of the room that parts fill, since tokens are guessed."""
_AROUND_MESSAGES = 10
"""Tokens of a chat template around a system and a user message, about."""
_LONG = 100_000
"""Characters from which splitting leaves the event loop."""


class TooLong(OperationError):
    """The content is beyond the model's context, and reading it in parts does not help."""

    type = ErrorType.CONTEXT_TOO_LONG


@dataclass(frozen=True, slots=True)
class Space:
    """What one call holds, in tokens. `context`: all of it, None while it is not known; `around`: the prompt without the
    text, found out when it is needed, which it seldom is; `answer`: what the answer may take, for which at most half of the
    context is kept free. `most`: parts. `scale`: how many there really are for one that is guessed.
    """

    context: int | None
    around: Callable[[], int]
    answer: int
    most: int = MOST_PARTS
    scale: float = 1.0

    def room(self) -> int | None:
        """For the text, in guessed tokens."""
        if self.context is None:
            return None
        return int((self.context - min(self.answer, self.context // 2)) / self.scale) - self.around()

    def figures(self, content: str) -> dict[str, int | None]:
        """Of an error about `content`; the contract promises both."""
        return {"prompt_tokens": round(tokens.weigh(content)) + self.around(), "context_tokens": self.context}


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """A part and what was found in it."""

    part: Part
    found: T


def space(caller: Caller, without_text: Callable[[], Rendered], answer: int) -> Space:
    """For a chat whose prompt is `without_text` when its text is empty."""

    @cache
    def around() -> int:
        prompt = without_text()
        return round(tokens.weigh(prompt.system or "") + tokens.weigh(prompt.user)) + _AROUND_MESSAGES

    return Space(caller.traits.context_tokens, around, answer)


async def read(content: str, ask: Callable[[str], Awaitable[T]], space: Space) -> list[Read[T]]:
    """What `ask` finds in the whole content, or in each of its parts that is not blank. Raises TooLong beyond `space.most`
    parts, and the provider's own ContextTooLong where smaller parts cannot help.
    """
    room = space.room()
    if room is None or room < LEAST_ROOM or tokens.estimate(content, room) <= room:
        waiting = deque([Part(0, content)])
    else:
        waiting = deque(await _parts(content, 0, room * _SURE, space))
    done: list[Read[T]] = []
    while waiting:
        part = waiting.popleft()
        if not part.text.strip():
            continue
        try:
            done.append(Read(part, await ask(part.text)))
        except ContextTooLong as refusal:
            smaller, space = _after(refusal, part, space)
            waiting = deque(await _parts(content, part.start, smaller, space, read=len(done)))
    return done


def in_parts(count: int) -> str:
    """The warning on a result."""
    return f"the content is longer than the model's context and was read in {count} parts"


async def _parts(content: str, start: int, room: float, space: Space, *, read: int = 0) -> list[Part]:
    """Of what begins at `start`; counted first without splitting, as 5 MB take a while."""
    rest = content[start:] if start else content
    if tokens.estimate(rest, round(room * space.most)) > room * (space.most - read):
        raise _too_many(content, room, space)
    work = splitting.split
    parts = await asyncio.to_thread(work, rest, room) if len(rest) > _LONG else work(rest, room)
    if len(parts) + read > space.most:
        raise _too_many(content, room, space)
    return [replace(part, start=part.start + start) for part in parts] if start else parts


def _too_many(content: str, room: float, space: Space) -> TooLong:
    long = tokens.estimate(content, round(room * space.most))
    needed = max(space.most + 1, round(long / room))
    holds = "" if space.context is None else f" of its context of {space.context}"
    return TooLong(
        f"The content has about {long} tokens; the model reads {round(room)} at a time{holds}, which makes about {needed} "
        f"parts, and {space.most} are the most. Send it as several requests, or use a model with a longer context.",
        prompt_tokens=long + space.around(),
        context_tokens=space.context,
        parts=needed,
        most_parts=space.most,
    )


def _after(refusal: ContextTooLong, part: Part, space: Space) -> tuple[float, Space]:
    """The room to go on with: at least a quarter less than what was refused, however little the refusal tells."""
    size = tokens.weigh(part.text)
    space = told(refusal, space, size + space.around())
    room = space.room()
    smaller = size / 2 if room is None else min(size * 0.75, room * _SURE)
    if smaller < LEAST_ROOM:
        raise refusal
    return smaller, space


def told(refusal: ContextTooLong, space: Space, guessed: float) -> Space:
    """The space with what a refusal says of the context, and of a prompt that was guessed to have `guessed` tokens."""
    context, prompt = _figure(refusal, "context_tokens"), _figure(refusal, "prompt_tokens")
    if context is not None and (space.context is None or context < space.context):
        space = replace(space, context=context)
    if prompt is not None and guessed > 0:
        space = replace(space, scale=max(space.scale, prompt / guessed))
    return space


def _figure(refusal: ContextTooLong, name: str) -> int | None:
    value: Any = refusal.details.get(name)
    return value if isinstance(value, int) and value > 0 else None
