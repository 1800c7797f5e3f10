"""`/v1/messages` and `/v1/messages/count_tokens`: Anthropic's clients, whoever answers."""

from starlette.requests import Request
from starlette.responses import Response

from streams.web.front import Front
from streams.web.messages import answers, counting, wire
from streams.web.openai import door, sse
from streams.web.replies import json

_ID = "request-id"
"""What Anthropic's clients show of an answer."""


async def messages(front: Front, request: Request) -> Response:
    """A chat, as Anthropic's clients ask for it."""
    body = await door.body_of(front, request)
    taking = door.taking_of(front, request, body, wire.read(body), "complete", "msg-")
    if taking.asked.stream:
        guess = counting.guess(taking.asked.record["input"])

        def words(id_: str, model: str, _created: int, _usage: bool) -> answers.Chunks:
            return answers.Chunks(id_, model, guess)

        return sse.Streaming(lambda send: door.stream(taking, words, send, _ID))
    result = await door.result_of(taking)
    reply = door.reply(answers.message(result, door.model_of(taking, result)), [result])
    reply.headers[_ID] = taking.id
    return reply


async def count_tokens(front: Front, request: Request) -> Response:
    """How many tokens a message's prompt has: as its provider counts them, else a guess, which `estimated` says."""
    body = await door.body_of(front, request)
    taking = door.taking_of(front, request, body, wire.read(body, wire.COUNTED), "complete", "msg")
    return json(await counting.counted(taking))
