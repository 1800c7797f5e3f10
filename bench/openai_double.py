"""A model server that speaks OpenAI's wire and costs as little CPU as it can: `python -m bench.openai_double LATENCY_S PER_S`.

It answers a chat after LATENCY_S, or streams it: the first token after LATENCY_S, then PER_S a second, `max_tokens` of them.
A streamed token is the time at which it was sent (`time.monotonic`, one clock for all processes of a machine), so that
whoever reads it knows how late it came.
"""

import asyncio
import sys
import time
from typing import Any, cast

import orjson

from streams import runtime

MODEL = "bench"
_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_USAGE = {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 20}
_TOKENS = 8


def _answer() -> bytes:
    message = {"role": "assistant", "content": "Hello there, this is the answer of a double."}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    made = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice]}
    body = orjson.dumps(made | {"usage": _USAGE})
    return _JSON % (len(body), body)


def _event(delta: dict[str, Any], finish: str | None = None, *, usage: bool = False) -> bytes:
    choices = [] if usage else [{"index": 0, "delta": delta, "finish_reason": finish}]
    made = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": choices}
    return _chunk(b"data: %s\n\n" % orjson.dumps(made | ({"usage": _USAGE} if usage else {})))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_ANSWER = _answer()
_MODELS = orjson.dumps(
    {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 1, "owned_by": "bench"}]}
)


class _Connection(asyncio.Protocol):
    """One request after the other; whoever pipelines is not served."""

    def __init__(self, latency_s: float, per_s: float) -> None:
        self.latency_s, self.per_s = latency_s, per_s
        self._data = bytearray()
        self._transport: asyncio.Transport | None = None
        self._next: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's
        if self._next is not None:
            self._next.cancel()

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, rest = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(rest) < length:
            return
        self._data.clear()
        self._asked(bytes(head), bytes(rest))

    def _asked(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET"):
            self._write(_JSON % (len(_MODELS), _MODELS))
            return
        asked = orjson.loads(body)
        loop = asyncio.get_running_loop()
        if not asked.get("stream"):
            self._next = loop.call_later(self.latency_s, self._write, _ANSWER)
            return
        tokens = int(asked.get("max_tokens") or asked.get("max_completion_tokens") or _TOKENS)
        usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        self._next = loop.call_later(self.latency_s, self._stream, tokens, usage, loop.time() + self.latency_s)

    def _stream(self, tokens: int, usage: bool, began: float) -> None:
        self._write(_STREAM + _event({"role": "assistant", "content": ""}))
        self._token(0, tokens, usage, began)

    def _token(self, number: int, tokens: int, usage: bool, began: float) -> None:
        loop = asyncio.get_running_loop()
        if number < tokens:
            self._write(_event({"content": f"{time.monotonic():.6f} "}))
            due = began + (number + 1) / self.per_s
            self._next = loop.call_at(due, self._token, number + 1, tokens, usage, began)
            return
        last = _event({}, "stop") + (_event({}, usage=True) if usage else b"")
        self._write(last + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


async def main(latency_s: float, per_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(latency_s, per_s), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with runtime.runner() as runner:
        runner.run(main(float(sys.argv[1]), float(sys.argv[2])))
