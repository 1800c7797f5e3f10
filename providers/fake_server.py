"""The double as a server that speaks Ollama's wire format, and counts: its count outlives a worker that is killed.

    GET  /_counts             figures and calls by request (`?requests=0`: without them), from the header x-genai-request
    POST /_reset              forget them, and close the gate
    POST /_open               open the gate for the answers that wait at it, `[fake:gate]`, and those to come

`/api/chat` (streamed as NDJSON unless `stream` is false; in pieces over a latency of 0.2 s or more), `/api/embed`, `/api/tags`,
`/api/ps`, `/api/show`, `/api/pull`, `/api/version`; errors in the words recorded from Ollama 0.17.4. With `slots`, further
calls wait in a queue of 512, then 503, as at an Ollama. With `Behaviour.holds` it loads and throws out models as one, too.
Measured with a JSON schema at 0 ms: 75-95 us of CPU a call, 5,500-11,000 calls/s beside its client on two shared cores.
"""

import asyncio
import contextlib
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from providers.base import ChatCall
from providers.double import answers, ollama, pulling, replies
from providers.double.counts import Counts, End
from providers.double.faults import FAULTS, STEP_S, Behaviour, Plan, plan
from providers.double.http1 import Connection, Request, Response
from providers.double.loading import Loading

MODELS = ("fake:latest", "fake-embed:latest", "llama3.2:latest", "nomic-embed-text:latest", "all-minilm:latest")
QUEUE = 512

_WRONG_PATH = Response(b"404 page not found", 404, ollama.TEXT)
_WRONG_METHOD = Response(b"405 method not allowed", 405, ollama.TEXT)


@dataclass(slots=True)
class Call:
    """One call between its arrival and its end. `timer` runs while it has a slot."""

    connection: Connection
    request: Request
    body: dict[str, Any]
    texts: tuple[str, ...]
    asked: ChatCall | None
    """What it asks for; None: it embeds its texts."""
    fate: Plan
    timer: asyncio.TimerHandle | None = None
    working: bool = False
    begun: bool = False
    """A part of its answer was sent."""
    load_s: float = 0.0
    """How much of its time it waited for its model."""
    rest: bytes = b""
    """What follows when the gate is opened."""


class FakeServer:
    """`async with await start(…)`, or `aclose()`."""

    def __init__(self, how: Behaviour, slots: int, models: tuple[str, ...]) -> None:
        self.counts = Counts()
        self.url = ""
        self._how = how
        self._slots = slots
        self._models = list(models)
        self._unloaded: set[str] = set()
        self._loading = Loading(how.holds, how.load_s, time.monotonic)
        self._working = 0
        self._queue: deque[Call] = deque()
        self._calls: dict[Connection, Call] = {}
        self._gate_is_open = False
        self._at_gate: list[Call] = []
        self._server: asyncio.Server | None = None
        self._pages: Mapping[tuple[str, str], Callable[[Request], Response]] = {
            ("GET", "/"): lambda _: Response(b"Ollama is running", kind=ollama.TEXT),
            ("GET", "/_counts"): self._show_counts,
            ("POST", "/_reset"): self._reset,
            ("POST", "/_open"): self._open,
            ("GET", "/api/tags"): lambda _: _json({"models": [self._described(name) for name in self._models]}),
            ("GET", "/api/ps"): lambda _: _json({"models": [self._described(name) for name in self.loaded()]}),
            ("POST", "/api/show"): self._show,
            ("GET", "/api/version"): lambda _: _json({"version": "0.17.4"}),
        }

    async def listen(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)
        self.url = f"http://{host}:{self._server.sockets[0].getsockname()[1]}"

    async def aclose(self) -> None:
        """Calls in flight are reset, as when a server dies."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._calls):
            connection.transport.abort()

    async def __aenter__(self) -> "FakeServer":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def received(self, connection: Connection, request: Request) -> None:
        if request.path in ("/api/chat", "/api/embed"):
            self._call(connection, request) if request.method == "POST" else connection.answer(_WRONG_METHOD)
            return
        if (request.method, request.path) == ("POST", "/api/pull"):
            self._pull(connection, request)
            return
        page = self._pages.get((request.method, request.path))
        connection.answer(page(request) if page is not None else _WRONG_PATH)

    def left(self, connection: Connection) -> None:
        """The caller is gone: its slot is free, and the call counts as aborted."""
        call = self._calls.pop(connection, None)
        if call is None:
            return
        if call.timer is not None:
            call.timer.cancel()
        if not call.working:
            with contextlib.suppress(ValueError):
                self._queue.remove(call)
        self._closed(call, "aborted")

    def _call(self, connection: Connection, request: Request) -> None:
        tag = request.tag
        nth = self.counts.start(tag)
        body, texts, asked, refused = self._read(request)
        if refused is not None:
            self.counts.end(tag, "refused")
            connection.answer(refused)
            return
        if self._how.most and self._working >= self._how.most:
            self.counts.end(tag, "refused")
            connection.answer(ollama.failure(Plan(fault="rate_limited", argument=self._how.most_wait_s)))
            return
        if ollama.is_unload(body):
            self._unload(body["model"])
            self.counts.end(tag, "finished")
            connection.answer(ollama.emptied(body, "unload"))
            return
        fate = plan(self._how, tag or f"#{self.counts.total.started}", nth, texts)
        call = Call(connection, request, body, texts, asked, fate)
        if self._queue or not self._may_work(call):
            self._wait(call)
        else:
            self._calls[connection] = call
            self._work(call)

    def loaded(self) -> tuple[str, ...]:
        """The models in memory."""
        if self._how.holds:
            return tuple(self._loading.ready_at)
        return tuple(name for name in self._models if name not in self._unloaded)

    def _unload(self, model: str) -> None:
        self._loading.drop(_tagged(model))
        self._unloaded.add(_tagged(model))

    def _show(self, request: Request) -> Response:
        model = ollama.named(request.body)
        if _tagged(model) not in self._models:
            return ollama.error(404, f"model '{model}' not found")
        return ollama.shown(model, self._how.context_tokens)

    def _pull(self, connection: Connection, request: Request) -> None:
        model = ollama.named(request.body)
        if not model:
            connection.answer(ollama.error(400, "invalid model name"))
            return

        def done() -> None:
            if _tagged(model) not in self._models:
                self._models.append(_tagged(model))

        pulling.pull(connection, model, done)

    def _may_work(self, call: Call) -> bool:
        has_slot = not self._slots or self._working < self._slots
        return has_slot and self._loading.may_begin(_tagged(call.body["model"]))

    def _wait(self, call: Call) -> None:
        if len(self._queue) >= QUEUE:
            self.counts.end(call.request.tag, "refused")
            call.connection.answer(
                ollama.error(503, "server busy, please try again.  maximum pending requests exceeded")
            )
            return
        self._calls[call.connection] = call
        self._queue.append(call)

    def _work(self, call: Call) -> None:
        self._working += 1
        call.working = True
        self._unloaded.discard(_tagged(call.body["model"]))
        call.load_s = self._loading.begin(_tagged(call.body["model"]))
        if call.load_s:
            call.fate = replace(call.fate, delay_s=call.fate.delay_s + call.load_s)
        if call.fate.gate and not self._gate_is_open:
            self._wait_at_gate(call)
        elif call.fate.delay_s >= 2 * STEP_S and call.fate.fault is None and self._is_streamed(call):
            self._stream(call)
        elif call.fate.delay_s > 0:
            call.timer = asyncio.get_running_loop().call_later(call.fate.delay_s, self._finish, call)
        else:
            self._finish(call)

    def _is_streamed(self, call: Call) -> bool:
        return call.request.path == "/api/chat" and call.body.get("stream", True) is not False

    def _wait_at_gate(self, call: Call) -> None:
        """Streamed: with its first line sent."""
        self._at_gate.append(call)
        if self._is_streamed(call):
            first, *rest = self._answer(call).body.splitlines(keepends=True)
            call.rest = b"".join(rest)
            call.begun = True
            call.connection.begin(ollama.NDJSON)
            call.connection.more(first)

    def _open(self, _: Request) -> Response:
        self._gate_is_open = True
        waiting, self._at_gate = self._at_gate, []
        for call in waiting:
            if self._calls.get(call.connection) is call:
                self._piece(call, deque([call.rest]), 0.0) if call.begun else self._finish(call)
        return _json({})

    def _stream(self, call: Call) -> None:
        """The lines evenly over the time."""
        lines = self._answer(call).body.splitlines(keepends=True)
        steps = int(call.fate.delay_s / STEP_S)
        pieces = [b"".join(lines[len(lines) * i // steps : len(lines) * (i + 1) // steps]) for i in range(steps)]
        self._later(call, deque(pieces), call.fate.delay_s / steps)

    def _later(self, call: Call, pieces: deque[bytes], seconds: float) -> None:
        call.timer = asyncio.get_running_loop().call_later(seconds, self._piece, call, pieces, seconds)

    def _piece(self, call: Call, pieces: deque[bytes], seconds: float) -> None:
        if not call.begun:
            call.begun = True
            call.connection.begin(ollama.NDJSON)
        call.connection.more(pieces.popleft())
        if pieces:
            self._later(call, pieces, seconds)
            return
        del self._calls[call.connection]
        self._closed(call, "finished")
        call.connection.end()

    def _finish(self, call: Call) -> None:
        """A call that hangs keeps its slot until its caller leaves."""
        fault = FAULTS[call.fate.fault] if call.fate.fault is not None else None
        if fault is None or fault.wire == "error":
            del self._calls[call.connection]
            end: End = "finished" if fault is None else "broken" if fault.executed else "refused"
            self._closed(call, end)
            call.connection.answer(self._answer(call) if fault is None else ollama.failure(call.fate))
            return
        whole = self._answer(call).encode()
        half = whole[: len(whole) - max(2, len(whole) // 4)]
        if fault.wire in ("hang", "hang midway"):
            call.connection.spoil(half if fault.wire == "hang midway" else b"", then="hang")
            return
        del self._calls[call.connection]
        self._closed(call, "broken")
        if fault.wire == "broken json":
            call.connection.answer(Response(b'{"model":"fake","message":{"role":"assistant","content":"The'))
        else:
            call.connection.spoil(
                half if fault.wire == "cut" else b"", then="close" if fault.wire == "cut" else "reset"
            )

    def _closed(self, call: Call, end: End) -> None:
        self.counts.end(call.request.tag, end)
        if call.working:
            self._working -= 1
            self._loading.end(_tagged(call.body["model"]))
        while self._queue and self._may_work(self._queue[0]):
            self._work(self._queue.popleft())

    def _read(self, request: Request) -> tuple[dict[str, Any], tuple[str, ...], ChatCall | None, Response | None]:
        """The body, its texts and what it asks for, or the refusal."""
        if not request.body:
            return {}, (), None, ollama.error(400, "missing request body")
        asked = None
        try:
            body = orjson.loads(request.body)
            model = body.get("model")
            if request.path == "/api/chat":
                asked = ollama.read_call(body)
                texts = tuple(message.content for message in asked.messages)
                length = replies.count(asked)
            else:
                given = body.get("input", ())
                texts = (given,) if isinstance(given, str) else tuple(given)
                length = max((len(text.split()) for text in texts), default=0)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            return {}, (), None, ollama.error(400, "unexpected EOF")
        return body, texts, asked, self._refusal(request.path, body, model, length)

    def _refusal(self, path: str, body: dict[str, Any], model: Any, length: int) -> Response | None:
        if not isinstance(model, str) or not model:
            return ollama.error(400, "model is required")
        if _tagged(model) not in self._models:
            tried = f"model '{model}' not found" if path == "/api/chat" else None
            return ollama.error(404, tried or f'model "{model}" not found, try pulling it first')
        return ollama.refused(path, body, length, self._how.context_tokens)

    def _answer(self, call: Call) -> Response:
        loading = int(call.load_s * 1e9)
        nanos = int(call.fate.delay_s * 1e9) - loading
        times = {"total_duration": nanos + loading, "load_duration": loading}
        if call.asked is None:
            vectors = [answers.embed(text, call.body.get("dimensions")) for text in call.texts]
            times |= {"prompt_eval_count": answers.count(call.texts)}
            return _json({"model": call.body["model"], "embeddings": vectors} | times)
        if not call.asked.messages:
            return ollama.emptied(call.body, "load")
        answer = replies.reply(call.asked, self._how.seed, call.fate)
        times |= {"prompt_eval_count": answer.spent.input_tokens, "prompt_eval_duration": nanos // 4}
        times |= {"eval_count": answer.spent.output_tokens, "eval_duration": nanos - nanos // 4}
        return ollama.answered(call.body, answer, times)

    def _described(self, name: str) -> dict[str, Any]:
        known = {"name": name, "model": name, "modified_at": ollama.NO_TIME, "size": 0, "size_vram": 0}
        return known | {"digest": ollama.digest(name), "context_length": self._how.context_tokens}

    def _show_counts(self, request: Request) -> Response:
        return _json(self.counts.snapshot(requests="requests=0" not in request.query) | {"loads": self._loading.loads})

    def _reset(self, _: Request) -> Response:
        self.counts.reset()
        self._loading.loads = {}
        self._gate_is_open = False
        return _json({})


def _tagged(model: str) -> str:
    return model if ":" in model else f"{model}:latest"


def _json(value: dict[str, Any]) -> Response:
    return Response(orjson.dumps(value))


async def start(
    host: str = "127.0.0.1",
    port: int = 0,
    how: Behaviour = Behaviour(),  # noqa: B008 - frozen
    *,
    slots: int = 0,
    models: tuple[str, ...] = MODELS,
) -> FakeServer:
    """Listening when it returns, at `.url`. Port 0: any free one; slots 0: no limit. Raises OSError: the port is taken."""
    server = FakeServer(how, slots, models)
    await server.listen(host, port)
    return server


def serve(
    host: str,
    port: int,
    how: Behaviour,
    *,
    slots: int = 0,
    models: tuple[str, ...] = MODELS,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Block until SIGTERM or SIGINT; `ready` is told the address once it listens. Raises OSError: the port is taken."""
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        runner.run(_until_stopped(host, port, how, slots, models, ready))


async def _until_stopped(
    host: str, port: int, how: Behaviour, slots: int, models: tuple[str, ...], ready: Callable[[str], None]
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C interrupts the runner by itself
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with await start(host, port, how, slots=slots, models=models) as server:
        ready(server.url)
        await stop.wait()


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return loop
