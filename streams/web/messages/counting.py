"""The tokens of a message's prompt: by the provider's own count where its server has one, else guessed from the bytes.

Asked for by clients before they send, and by `message_start`, which must say something before anybody has counted.
"""

import contextlib
from typing import Any

import orjson

from agents import complete
from providers import tokens
from providers.base import Counting, Provider
from providers.errors import ModelNotFound, ProviderError
from schemas.complete import Input
from schemas.errors import Failure
from store.ledger.types.arrivals import Ask
from streams.web import leaving
from streams.web.openai import door
from streams.web.openai.door import Taking
from streams.web.principal import principal_of

_COUNT_S = 10.0
_AROUND = 4
"""Tokens of a chat template around a turn, about."""


async def counted(taking: Taking) -> dict[str, Any]:
    """What a client reads. Raises `Problem`: as for a message that cannot be sent."""
    what = _ask(taking)
    found = await _asked(taking, what)
    if found is not None:
        return {"input_tokens": found, "estimated": False}
    return {"input_tokens": guess(taking.asked.record["input"]), "estimated": True}


def _ask(taking: Taking) -> Ask:
    """The request that it would be: the same model, the same refusals."""
    record = {**taking.asked.record, "options": {"model": taking.asked.model}, "tenant": taking.tenant}
    what = taking.front.parts().decoder.ask(
        taking.operation, taking.lane, orjson.dumps(record), (), place=taking.id, tenant=taking.tenant
    )
    assert isinstance(what, Ask)  # it has an id, so it is one
    if what.failure is not None:
        raise door.refusal(taking, what.failure)
    principal_of(taking.request).check(what)
    return what


async def _asked(taking: Taking, what: Ask) -> int | None:
    """None: nobody counts there, or cannot now, or must not see the words before a guard has."""
    spine = taking.front.parts()
    provider: Provider = spine.providers[what.provider]
    if not isinstance(provider, Counting) or not {"*", what.operation}.isdisjoint(spine.settings.guards):
        return None
    call = complete.prompt(Input.model_validate(taking.asked.record["input"]), what.model, _COUNT_S)
    with contextlib.suppress(ProviderError):
        try:
            return await leaving.while_here(taking.request, provider.count(call, provider.nodes()[0]))
        except ModelNotFound as error:
            raise door.refusal(taking, Failure(type=error.type, message=error.message, details=error.details)) from None
    return None


def guess(input_: dict[str, Any]) -> int:
    """Of texts, of tools as they are written, and of what stands around each turn."""
    turns = input_["messages"]
    contents = [turn["content"] if isinstance(turn["content"], list) else [turn["content"] or ""] for turn in turns]
    told = [_words(part) for parts in contents for part in parts]
    told += [call["function"]["arguments"] for turn in turns for call in turn.get("tool_calls", ())]
    if "tools" in input_:
        told.append(orjson.dumps(input_["tools"]).decode())
    return round(sum(map(tokens.weigh, told))) + _AROUND * len(turns)


def _words(part: str | dict[str, Any]) -> str:
    if isinstance(part, str):
        return part
    words: str | None = part.get("text")
    return orjson.dumps(part).decode() if words is None else words
