"""Requests and tokens a minute of a key, over all processes: borrowed in blocks from the ledger, as those of models are.

Blocks get smaller as less is left, down to what one request needs. So whoever sends one request after another, and stops
when nothing remains until the minute ends, is never refused, whichever processes answer; of many who share a key each is told what
the process that answers can give. Tokens count by the upper estimate with which a request is taken.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Scope, Send

from schemas.errors import ErrorType
from store.errors import StoreError
from store.ledger.quotas import MINUTE_S, Most
from streams.lending import Lending
from streams.runs.pacing import pool
from streams.web.principal import Limits
from streams.web.problems import Problem, unavailable

HEADERS = tuple(f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens"))
_AHEAD = 20
"""A block is so small a part of what is left."""
_PLENTY = 4
"""Nothing is borrowed ahead when less is left than so many times what is needed."""
_SURE_S = 0.1
"""Clocks differ a little: the minute has ended everywhere so much later."""


def block(left: int | None, missing: int) -> int | None:
    """How much to borrow; None: there is not enough. `left` None: nothing bounds it."""
    if left is None or missing <= 0:
        return 0
    if left < missing:
        return None
    return missing if left < _PLENTY * missing else max(missing, left // _AHEAD)


def wish(calls_left: int | None, tokens_left: int | None, calls: int, tokens: int) -> tuple[int, int]:
    """Both or nothing: a request that lacks one of them must not use up the other."""
    found = block(calls_left, calls), block(tokens_left, tokens)
    return (0, 0) if found[0] is None or found[1] is None else (found[0], found[1])


@dataclass(slots=True)
class _Minute:
    """What this process may still give of one key's minute, and what nobody had borrowed when it last looked."""

    calls: int = 0
    tokens: int = 0
    calls_left: int | None = None
    tokens_left: int | None = None
    ends: float = -math.inf

    def lacks(self, most: Most, tokens: int) -> tuple[int, int]:
        """Calls and tokens that are missing for one more request."""
        calls = 0 if most.calls is None else max(0, 1 - self.calls)
        return calls, 0 if most.tokens is None else max(0, tokens - self.tokens)

    def spent(self, calls: int, tokens: int) -> bool:
        """Whether it is known that so much is not to be had before the minute ends."""
        return block(self.calls_left, calls) is None or block(self.tokens_left, tokens) is None


class Minutes:
    """Of every key that has been used here and is bounded."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, _Minute] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    async def take(self, lending: Lending, key_id: str, limits: Limits, tokens: int) -> None:
        """One request of so many tokens. Raises `Problem`: 429 when the minute has no more, 503."""
        most = limits.minute()
        need = 0 if most.tokens is None else min(tokens, most.tokens)
        minute = self._of(key_id)
        if any(minute.lacks(most, need)) or minute.ends <= self._clock():
            async with self._turns.setdefault(key_id, asyncio.Lock()):
                minute = await self._borrowed(lending, key_id, most, need)
        if any(minute.lacks(most, need)):
            raise self._refusal(minute, most, need)
        minute.calls -= 0 if most.calls is None else 1
        minute.tokens -= need

    def headers(self, key_id: str, limits: Limits) -> dict[str, str]:
        """How things stand now, as OpenAI's clients read it."""
        minute, now = self._of(key_id), self._clock()
        if minute.ends <= now:  # nothing was taken here since it ended
            rest = 0.0 if math.isinf(minute.ends) else MINUTE_S - (now - minute.ends) % MINUTE_S
            minute = _Minute(0, 0, limits.rpm, limits.tpm, now + rest)
        reset = f"{_seconds(minute.ends - now)}s"
        told: dict[str, str] = {}
        for name, most, have, left in (
            ("requests", limits.rpm, minute.calls, minute.calls_left),
            ("tokens", limits.tpm, minute.tokens, minute.tokens_left),
        ):
            if most is not None:
                told[f"x-ratelimit-limit-{name}"] = str(most)
                told[f"x-ratelimit-remaining-{name}"] = str(have + (left or 0))
                told[f"x-ratelimit-reset-{name}"] = reset
        return told

    def _of(self, key_id: str) -> _Minute:
        return self._known.setdefault(key_id, _Minute())

    async def _borrowed(self, lending: Lending, key_id: str, most: Most, need: int) -> _Minute:
        """Somebody else may have borrowed enough while this one waited for its turn."""
        minute = self._of(key_id)
        if minute.ends <= self._clock():
            minute = self._known[key_id] = _Minute()
        calls, tokens = minute.lacks(most, need)
        if not (calls or tokens) or minute.spent(calls, tokens):
            return minute
        try:
            lent = await lending.lend(pool(key_id), most, lambda left, rest, _: wish(left, rest, calls, tokens))
        except StoreError as error:
            raise unavailable(f"The database is away ({error}); nothing was taken. Ask again.") from error
        minute.calls, minute.tokens = minute.calls + lent.calls, minute.tokens + lent.tokens
        minute.calls_left, minute.tokens_left = lent.calls_left, lent.tokens_left
        minute.ends = self._clock() + lent.left_s
        return minute

    def _refusal(self, minute: _Minute, most: Most, need: int) -> Problem:
        again = _seconds(minute.ends - self._clock())
        calls, _ = minute.lacks(most, need)
        rest = minute.tokens + (minute.tokens_left or 0)
        limit = "requests" if calls and block(minute.calls_left, calls) is None else "tokens"
        why = (
            f"this key may send {most.calls} requests a minute, and has"
            if limit == "requests"
            else f"this key may use {most.tokens} tokens a minute, {rest} are left, and this request may take {need}"
        )
        words = f"Too much for one minute: {why}. Nothing was taken; come again in {again} s."
        return Problem(429, words, error=ErrorType.RATE_LIMITED, headers={"Retry-After": str(again)}, limit=limit)


def _seconds(left: float) -> int:
    return max(1, math.ceil(left + _SURE_S))


def telling(scope: Scope, send: Send) -> Send:
    """Adds the headers to whatever is answered, if anything was taken of the minute."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start" and (look := scope["state"].get("minute")) is not None:
            headers = MutableHeaders(scope=message)
            for name, value in look().items():
                headers[name] = value
        await send(message)

    return told
