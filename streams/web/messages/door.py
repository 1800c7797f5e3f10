"""`/v1/messages` and `/v1/messages/count_tokens`: Anthropic's clients, whoever answers."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from providers import tokens
from streams.web.front import Front
from streams.web.messages import answers, wire
from streams.web.openai import door, sse
from streams.web.replies import json


async def messages(front: Front, request: Request) -> Response:
    """A chat, as Anthropic's clients ask for it."""
    body = await door.body_of(front, request)
    taking = door.taking_of(front, request, body, wire.read(body), "complete", "msg-")
    if taking.asked.stream:
        guess = _guess(taking.asked.record["input"])

        def words(id_: str, model: str, _created: int, _usage: bool) -> answers.Chunks:
            return answers.Chunks(id_, model, guess)

        return sse.Streaming(lambda send: door.stream(taking, words, send))
    result = await door.result_of(taking)
    reply = door.reply(answers.message(result, door.model_of(taking, result)), [result])
    reply.headers["request-id"] = taking.id
    return reply


async def count_tokens(front: Front, request: Request) -> Response:
    """About how many tokens a message's prompt has: a guess, as each model has a tokenizer of its own."""
    body = await door.body_of(front, request)
    return json({"input_tokens": _guess(wire.read(body, wire.COUNTED).record["input"])})


_AROUND = 4
"""Tokens of a chat template around a turn, about."""


def _guess(input_: dict[str, Any]) -> int:
    """Of texts, of tools as they are written, and of what stands around each turn."""
    turns = input_["messages"]
    told = [
        orjson.dumps(turn["content"]).decode() if isinstance(turn["content"], list) else turn["content"] or ""
        for turn in turns
    ]
    told += [call["function"]["arguments"] for turn in turns for call in turn.get("tool_calls", ())]
    if "tools" in input_:
        told.append(orjson.dumps(input_["tools"]).decode())
    return round(sum(map(tokens.weigh, told))) + _AROUND * len(turns)
