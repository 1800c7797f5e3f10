"""Ollama's `/api/chat` as pure functions: what a call looks like, what its answer means, whole or line by line."""

from collections.abc import Callable
from typing import Any, Literal

import orjson

from providers.base import ChatAnswer, ChatCall, Delta, Rejected, ServerError, Unreadable
from providers.ollama_wire import REFUSED_WITH_500, dump, read_object, spent


def chat_body(call: ChatCall, num_ctx: int, keep_alive: str) -> bytes:
    """Streamed only for whoever reads along or wants to be told how far it is; cancelling closes the connection either way.

    `truncate` and `shift` false make an Ollama that knows them (0.12.6 or later) refuse a prompt above `num_ctx`;
    an older one ignores both and silently drops the oldest messages, so the length is estimated beforehand too.
    Raises Rejected for what JSON cannot carry.
    """
    wishes = {
        "temperature": call.temperature,
        "num_predict": call.max_tokens,
        "stop": list(call.stop) or None,
        "seed": call.seed,
    }
    body: dict[str, Any] = {
        "model": call.model,
        "messages": [{"role": message.role, "content": message.content} for message in call.messages],
        "stream": is_streamed(call),
        "truncate": False,
        "shift": False,
        "keep_alive": keep_alive,
        "options": {"num_ctx": num_ctx} | {name: wish for name, wish in wishes.items() if wish is not None},
    }
    if call.schema is not None:
        body["format"] = call.schema
    return dump(body)


def is_streamed(call: ChatCall) -> bool:
    return call.on_tokens is not None or call.on_delta is not None


def read_chat(body: bytes) -> ChatAnswer:
    """Raises Unreadable, and ServerError for a failure that came too late for a status of its own."""
    reply = read_object(body)
    if "error" in reply:
        raise ServerError(f"Ollama says: {reply['error']}", spent=spent(reply))
    text = _piece(reply)
    if not isinstance(text, str) or reply.get("done") is not True:
        raise Unreadable("Ollama's answer holds no whole message.", spent=spent(reply))
    return ChatAnswer(text, _finish(reply), spent(reply))


def read_stream(body: bytes) -> ChatAnswer:
    """A streamed answer: one JSON a line, the text in pieces, the counters in the last one. Raises what `read_chat` raises.

    Ollama before 0.12 has begun the answer when it refuses a call's form: that error is its first line.
    """
    lines = _lines(body)
    last = lines[-1] if lines else {}
    if "error" in last and len(lines) == 1 and any(sign in str(last["error"]) for sign in REFUSED_WITH_500):
        raise Rejected(f"Ollama says: {last['error']}")
    if "error" in last:
        raise ServerError(f"Ollama says: {last['error']}")
    pieces = [_piece(line) for line in lines]
    if last.get("done") is not True or not all(isinstance(piece, str) for piece in pieces):
        raise Unreadable("Ollama's answer holds no whole message.", spent=spent(last))
    return ChatAnswer("".join(map(str, pieces)), _finish(last), spent(last))


class Reader:
    """Told the bytes of a streamed answer as they come, tells on what each whole line of them brings.

    A line that is none is left out: whether the answer is one at all, `read_stream` says in the end.
    """

    def __init__(self, told: Callable[[Delta], None]) -> None:
        self._told = told
        self._rest = b""

    def __call__(self, piece: bytes) -> None:
        *whole, self._rest = (self._rest + piece).split(b"\n")
        for line in whole:
            if (delta := _delta(line)) is not None:
                self._told(delta)


def _delta(line: bytes) -> Delta | None:
    try:
        text = _piece(orjson.loads(line))
    except (orjson.JSONDecodeError, AttributeError):
        return None
    return Delta(text) if isinstance(text, str) and text else None


def _lines(body: bytes) -> list[dict[str, Any]]:
    """All lines in one parse, which takes a third of the time; one by one where that fails, to say which one is wrong."""
    try:
        found = orjson.loads(b"[" + body.strip().replace(b"\n", b",") + b"]")
    except orjson.JSONDecodeError:
        found = None
    if isinstance(found, list) and all(isinstance(line, dict) for line in found):
        return found
    return [read_object(line) for line in body.split(b"\n") if line.strip()]


def _piece(line: dict[str, Any]) -> Any:
    message = line.get("message")
    return message.get("content") if isinstance(message, dict) else None


def _finish(last: dict[str, Any]) -> Literal["stop", "length"]:
    return "length" if last.get("done_reason") == "length" else "stop"
